-- What HAProxy asks entitlementd about a request, and what it makes of the answer.

-- HAProxy's own frontend for these questions: see haproxy.cfg.
local QUESTIONS = "127.0.0.1:9190"
-- Milliseconds: more than the backend behind that frontend takes to give up.
local PATIENCE = 6000

-- What the service believes. It comes from entitlementd alone.
local TRUSTED = {
    "x-tenant-id", "x-tenant-subdomain", "x-tenant-schema", "x-tenant-plan", "x-tenant-verified",
    "x-entitlement-revision", "x-entitlement-would-deny",
}
-- Only what entitlementd reads.
local ASKED = {
    "host", "authorization", "x-tenant-id", "origin", "access-control-request-method", "content-type", "x-request-id", "traceparent",
}
-- What is not passed on of a refusal: it is about the connection to entitlementd, or about what the service is told.
local OWN = { connection = true, ["keep-alive"] = true, ["transfer-encoding"] = true, ["content-length"] = true, date = true }
for _, name in ipairs(TRUSTED) do OWN[name] = true end

-- HAProxy counts values from zero, its HTTP client from one. Each value goes as it came: one that came twice is refused.
local function question(txn)
    local sent = txn.http:req_get_headers()
    local headers = {}
    for _, name in ipairs(ASKED) do
        local values = {}
        for index = 0, sent[name] and #sent[name] or -1 do values[index + 1] = sent[name][index] end
        if values[1] then headers[name] = values end
    end
    headers["x-forwarded-method"] = { txn.sf:method() }
    headers["x-forwarded-uri"] = { txn.sf:pathq() }
    headers["x-forwarded-host"] = headers["host"]
    -- Who asks is HAProxy, and no client: put the token of a caller here if entitlementd has a file of them.
    -- headers["x-entitlement-caller"] = { "Bearer TOKEN" }
    return headers
end

local function speaks_grpc(headers)
    local kind = (headers["content-type"] or {})[1] or ""
    return kind:find("^application/grpc$") or kind:find("^application/grpc[+;]")
end

local function refuse(txn, answer)
    local headers = {}
    for name, values in pairs(answer.headers) do
        if not OWN[name] then
            headers[name] = {}
            for _, value in pairs(values) do table.insert(headers[name], value) end
        end
    end
    -- A client of gRPC reads its status only of an answer that HTTP calls good.
    local status = headers["grpc-status"] and 200 or answer.status
    txn:done(txn:reply { status = status, headers = headers, body = answer.body })
end

local function entitlement(txn)
    local headers = question(txn)
    txn.http:req_del_header("x-entitlement-caller")
    for _, name in ipairs(TRUSTED) do txn.http:req_del_header(name) end
    local answer = core.httpclient():get {
        url = "http://" .. QUESTIONS .. "/auth/haproxy", headers = headers, timeout = PATIENCE,
    }
    -- Its answers name their request; those of HAProxy itself, which speaks for it where it is away, do not.
    if not answer or not answer.headers or not answer.headers["x-request-id"] then
        -- UNAVAILABLE.
        answer = { status = 503, headers = { ["content-type"] = { "application/grpc" }, ["grpc-status"] = { "14" } }, body = "" }
        return speaks_grpc(headers) and refuse(txn, answer)
    end
    if answer.status ~= 200 then return refuse(txn, answer) end
    for _, name in ipairs(TRUSTED) do
        for _, value in pairs(answer.headers[name] or {}) do
            if value ~= "" then txn.http:req_set_header(name, value) end
        end
    end
    txn:set_var("txn.entitlement", "granted")
end

core.register_action("entitlement", { "http-req" }, entitlement, 0)
