-- Asks auth-api about each request, gives the app the identity headers, or hands the browser auth-api's answer.
-- The request goes on only where txn.auth_api was set to "allowed"; everything that is not answered in here, because
-- auth-api is away or of a mistake, meets the page of auth-api.cfg.

local identity = {
    "x-auth-subject", "x-auth-username", "x-auth-email", "x-auth-groups", "x-auth-scopes",
    "x-auth-client-id", "x-auth-kind", "x-auth-provider", "x-auth-expires",
}

-- What auth-api looks at. The body is the app's.
local asked_with = {
    "authorization", "cookie", "accept", "accept-language", "origin", "user-agent", "x-forwarded-for", "x-requested-with",
    "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user",
    "access-control-request-method", "access-control-request-headers",
}

-- What of its answer is for the browser.
local answered_with = {
    "content-type", "cache-control", "location", "retry-after", "www-authenticate", "vary", "referrer-policy",
    "content-security-policy", "x-content-type-options", "x-frame-options", "x-request-id",
    "access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-methods",
    "access-control-allow-headers", "access-control-expose-headers", "access-control-max-age",
}

-- HAProxy counts the lines of a header from 0, Lua a table from 1.
local function lines(values)
    local found = {}
    for index, value in pairs(values or {}) do
        found[#found + 1] = { index, value }
    end
    table.sort(found, function(a, b) return a[1] < b[1] end)
    for index, pair in ipairs(found) do
        found[index] = pair[2]
    end
    return found
end

local function reply(txn, status, headers, body)
    local answer = txn:reply({ status = status })
    for _, header in ipairs(headers) do
        answer:add_header(header[1], header[2])
    end
    answer:set_body(body)
    txn:done(answer)
end

local function ask(txn, address, site, patience)
    local sent = txn.http:req_get_headers()
    local headers = {
        ["x-original-url"] = { site .. txn.sf:pathq() },
        ["x-original-method"] = { txn.sf:method() },
    }
    for _, name in ipairs(asked_with) do
        local values = lines(sent[name])
        if #values > 0 then
            headers[name] = values
        end
    end
    -- HTTP/2 splits cookies into lines (RFC 9113 section 8.2.3).
    if headers["cookie"] then
        headers["cookie"] = { table.concat(headers["cookie"], "; ") }
    end
    return core.httpclient():get({
        url = "http://" .. address .. "/validate/browser",
        headers = headers,
        timeout = tonumber(patience),
    })
end

core.register_action("auth_api", { "http-req" }, function(txn, address, site, patience)
    local asked, answer = pcall(ask, txn, address, site, patience)
    if not asked then
        core.Warning("auth-api: " .. tostring(answer))
        return
    end
    local status, got = answer and answer.status or 0, answer and answer.headers or {}
    -- A preflight has no identity; the app answers its own.
    if status == 200 or status == 204 then
        for _, name in ipairs(identity) do
            txn.http:req_set_header(name, lines(got[name])[1] or "")
        end
        txn:set_var("txn.auth_api", "allowed")
        return
    end
    -- Redirects and refusals are auth-api's own words. HAProxy itself answers 502 to 504 for one that is away.
    local own = status == 302 or (status >= 400 and status <= 499) or (status == 503 and got["retry-after"])
    if not own then
        return
    end
    local headers = {}
    for _, name in ipairs(answered_with) do
        for _, value in ipairs(lines(got[name])) do
            headers[#headers + 1] = { name, value }
        end
    end
    reply(txn, status, headers, txn.sf:method() == "HEAD" and "" or answer.body or "")
end, 3)
