-- Asks auth-api about each request, gives the app the identity headers, or hands the browser auth-api's answer.
-- Whatever goes wrong in here, nobody is let in: Apache answers 500 for a script that fails, and we say 503.

local socket = require "socket"

local identity = {
    "X-Auth-Subject", "X-Auth-Username", "X-Auth-Email", "X-Auth-Groups", "X-Auth-Scopes",
    "X-Auth-Client-Id", "X-Auth-Kind", "X-Auth-Provider", "X-Auth-Expires",
}

-- What auth-api looks at. The body is the app's.
local asked_with = {
    "Authorization", "Cookie", "Accept", "Accept-Language", "Origin", "User-Agent", "X-Requested-With",
    "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User",
    "Access-Control-Request-Method", "Access-Control-Request-Headers",
}

-- What of its answer is for the browser, beside the type of its body.
local answered_with = {
    "Cache-Control", "Location", "Retry-After", "WWW-Authenticate", "Vary", "Referrer-Policy",
    "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "X-Request-Id",
    "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
}

-- No answer of auth-api's is larger.
local LARGEST = 262144

-- The connection of this thread (LuaScope), between two questions, and where it leads.
local kept, kept_to

local function connect(address, left)
    local host, port = address:match("^(.*):(%d+)$")
    local connection = socket.tcp()
    connection:settimeout(left(), "t")
    if not host or not connection:connect(host, tonumber(port)) then
        connection:close()
        return nil
    end
    connection:setoption("tcp-nodelay", true)
    return connection
end

-- The kept connection, if it leads there and nothing came on it since the last answer, not even its end.
local function take(address)
    local connection = kept
    kept = nil
    if not connection then
        return nil
    end
    connection:settimeout(0, "t")
    local data, state = connection:receive(1)
    if kept_to == address and not data and state == "timeout" then
        return connection
    end
    connection:close()
end

-- The answer, with its headers in lower case, if it is whole and says how long it is (RFC 9112 section 6.3); or nil, and
-- whether the connection ended without a word.
local function understand(connection, left)
    local function receive(what)
        connection:settimeout(left(), "t")
        return connection:receive(what)
    end
    local line, state, part = receive("*l")
    if not line then
        return nil, state == "closed" and part == ""
    end
    local version, status = (line .. " "):match("^HTTP/1%.([01]) ([2-5]%d%d) ")
    local headers, size = {}, 0
    while line and line ~= "" and size <= LARGEST do
        line = receive("*l")
        local name, value = (line or ""):match("^([^:%s]+):[ \t]*(.-)[ \t]*$")
        if not status or not line or (line ~= "" and not name) then
            return nil
        elseif name then
            name, size = name:lower(), size + #line
            headers[name] = headers[name] and headers[name] .. ", " .. value or value
        end
    end
    local length = headers["content-length"] or (status == "204" and "0")
    if line ~= "" or headers["transfer-encoding"] or not length or not length:find("^%d%d?%d?%d?%d?%d?$") then
        return nil
    end
    length = tonumber(length)
    local body = length == 0 and "" or length <= LARGEST and receive(length)
    if not body then
        return nil
    end
    local close = version == "0" or (headers["connection"] or ""):lower():find("close", 1, true)
    return { status = tonumber(status), headers = headers, body = body, close = close }
end

-- What auth-api answers, or nil. The deadline counts for all of it: an answer in drops is none. A connection that is
-- not at the end of a whole answer never sees another question.
local function exchange(address, question, patience)
    local deadline = socket.gettime() + patience
    local function left()
        return math.max(deadline - socket.gettime(), 0)
    end
    local function ask(connection)
        connection:settimeout(left(), "t")
        local sent, state = connection:send(question)
        local answer, ended = nil, state == "closed"
        if sent then
            answer, ended = understand(connection, left)
        end
        if answer and not answer.close then
            kept, kept_to = connection, address
        else
            connection:close()
        end
        return answer, ended
    end
    local answer, ended = nil, true
    local connection = take(address)
    if connection then
        answer, ended = ask(connection)
    end
    -- auth-api may have hung up in the same moment; to ask again changes nothing there.
    if ended then
        connection = connect(address, left)
        answer = connection and ask(connection)
    end
    return answer
end

-- The page for people, if there is one.
local function outage_page(r)
    local accept, path = r.headers_in["Accept"] or "", r.subprocess_env["AUTH_API_OUTAGE"]
    local file = path and accept:lower():find("text/html", 1, true) and io.open(path, "rb")
    if not file then
        return nil
    end
    local text = file:read("*a")
    file:close()
    return text
end

local function unavailable(r)
    local page = outage_page(r)
    r.status = 503
    r.err_headers_out["Retry-After"] = "5"
    r.err_headers_out["Cache-Control"] = "no-store"
    r.err_headers_out["Vary"] = "Accept"
    r.content_type = page and "text/html; charset=utf-8" or "text/plain"
    r:write(page or "Who you are cannot be looked up at the moment. Please try again in a few seconds.\n")
    return apache2.DONE
end

-- Apache joins repeated header lines, so each name is there once. To many a server any sign but letters, digits and "-"
-- in a name is as good as "-": such headers go altogether.
local function forget_what_only_proxies_say(r)
    local said = {}
    for name in pairs(r:headers_in_table()) do
        local low = name:lower()
        if low:find("[^%w-]") or low:find("^x%-auth%-") or low:find("^x%-forwarded%-") or low:find("^x%-original%-")
            or low == "forwarded" then
            said[#said + 1] = name
        end
    end
    for _, name in ipairs(said) do
        r.headers_in[name] = nil
    end
    -- A client may ask a hop to drop the headers that it names in Connection: ours are not among them.
    if r.headers_in["Connection"] then
        local close = r.headers_in["Connection"]:lower():find("close", 1, true)
        r.headers_in["Connection"] = r.headers_in["Upgrade"] and "Upgrade" or close and "close" or nil
    end
end

function check(r)
    forget_what_only_proxies_say(r)
    local env = r.subprocess_env
    local address, site, patience = env["AUTH_API"], env["AUTH_API_SITE"], tonumber(env["AUTH_API_PATIENCE"])
    -- Path and query as the client sent them. It may also have sent a whole URL (RFC 9112 section 3.2.2).
    local page = r.unparsed_uri:gsub("^%a[%w+.-]*://[^/?]*", "")
    if page:sub(1, 1) == "?" or page == "" then
        page = "/" .. page
    end
    if not (address and site and patience) or page:sub(1, 1) ~= "/" then
        return unavailable(r)
    end

    local question = {
        "GET /validate/browser HTTP/1.1",
        "Host: " .. address,
        "X-Original-URL: " .. site .. page,
        "X-Original-Method: " .. r.method,
        "X-Forwarded-For: " .. r.useragent_ip,
    }
    for _, name in ipairs(asked_with) do
        local value = r.headers_in[name]
        if value then
            question[#question + 1] = name .. ": " .. value
        end
    end
    -- Whoever could write a line of their own here could write the next visitor's question.
    for _, line in ipairs(question) do
        if line:find("[%z\r\n]") then
            return unavailable(r)
        end
    end
    local answer = exchange(address, table.concat(question, "\r\n") .. "\r\n\r\n", patience)
    local status, headers, body
    if answer then
        status, headers, body = answer.status, answer.headers, answer.body
    end

    -- A preflight has no identity; the app answers its own.
    if status == 200 or status == 204 then
        for _, name in ipairs(identity) do
            r.headers_in[name] = headers[name:lower()] or ""
        end
        return apache2.OK
    end
    -- Redirects and refusals are for the browser.
    if not status or not (status == 302 or (status >= 400 and status <= 499) or status == 503) then
        return unavailable(r)
    end
    r.status = status
    for _, name in ipairs(answered_with) do
        local value = headers[name:lower()]
        if value then
            r.err_headers_out[name] = value
        end
    end
    if headers["content-type"] then
        r.content_type = headers["content-type"]
    end
    r:write(body)
    return apache2.DONE
end
