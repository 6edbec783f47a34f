words => {
  const base = new URL(document.currentScript.src).origin
  const checked = new WeakSet
  let timer, notice

  const hide = () => { notice?.remove(); notice = null }

  const show = (text, link) => {
    hide()
    const event = new CustomEvent("auth-api:notice", { cancelable: true, detail: { text, signedIn: !link } })
    if (!document.dispatchEvent(event)) return
    notice = document.createElement("div")
    notice.setAttribute("role", "alert")
    notice.lang = words.lang
    notice.dir = words.dir
    Object.assign(notice.style, {
      position: "fixed", inset: "0 0 auto", zIndex: 2147483647, padding: "1em", textAlign: "center",
      font: "1rem/1.5 system-ui, sans-serif", background: "Canvas", color: "CanvasText", borderBottom: "3px solid",
    })
    notice.append(text + " ")
    if (link) {
      const a = document.createElement("a")
      Object.assign(a, { href: link, target: "_blank", rel: "noopener", textContent: words.signIn })
      a.style.color = "LinkText"
      notice.append(a, " ")
    }
    const button = document.createElement("button")
    Object.assign(button, { type: "button", textContent: words.close, onclick: hide })
    notice.append(button)
    document.body.append(notice)
  }

  // True or false; undefined where nobody can tell, which holds nobody up.
  const check = async () => {
    try {
      const answer = await fetch(base + "/auth/session", { credentials: "include", signal: AbortSignal.timeout(5000) })
      if (answer.ok) {
        const left = (await answer.json()).session_expires_at * 1000 - Date.now()
        clearTimeout(timer)
        timer = setTimeout(left > 3e5 ? soon : look, Math.min(Math.max(left > 3e5 ? left - 3e5 : left, 1000), 2 ** 31 - 1))
        return true
      }
      if (answer.status == 401) return false
    } catch {}
  }

  const soon = async () => { if (await look()) show(words.endsSoon) }

  const look = async () => {
    const signedIn = await check()
    if (signedIn) hide()
    else if (signedIn === false) show(words.ended, base + "/auth/signin")
    return signedIn
  }

  addEventListener("focus", look)
  addEventListener("pageshow", look)
  document.addEventListener("visibilitychange", () => document.hidden || look())
  addEventListener("submit", async event => {
    const { target: form, submitter } = event
    if (event.defaultPrevented || form.method != "post" || checked.delete(form)) return
    event.preventDefault()
    if (await check() === false) return show(words.notSent, base + "/auth/signin")
    checked.add(form)
    form.requestSubmit(submitter)
  })
}
