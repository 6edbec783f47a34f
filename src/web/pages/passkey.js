const form = document.getElementById("passkey")

form.addEventListener("submit", async event => {
  if (form.elements.credential) return
  event.preventDefault()
  try {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(form.dataset.options))
    const credential = await navigator.credentials.create({ publicKey })
    const field = Object.assign(document.createElement("input"), { type: "hidden", name: "credential" })
    field.value = JSON.stringify(credential)
    form.append(field)
    form.requestSubmit()
  } catch {
    document.getElementById("failed").hidden = false
  }
})
