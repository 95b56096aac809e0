-- Replicas inside nginx: which there are, how busy each is, and which takes the next request.
--
-- The controller replaces an app's replicas over the control socket; all workers see them at once, through a shared
-- dictionary, and nothing is reloaded. Decides as stock nginx's least_conn does: the replica with the fewest requests
-- in flight for its weight, and in turn among equals; only that the count is exact over all workers. Must never yield
-- between choosing a replica and counting the request.
--
-- A list of replicas is text, the same in the file `servers`, which nginx starts with, and in a push:
--
--     digest 5f2b0c9a41d3
--     app web
--     10.210.0.3 8080 1
--     10.210.0.4 8080 0
--
-- ADDRESS PORT WEIGHT; weight 0 for a replica that is draining. The digest names the content of the whole list.

local balancer = require "ngx.balancer"
local ffi = require "ffi"

ffi.cdef "int kill(int pid, int sig);"
local ESRCH = 3
local BUSY = -3 -- what nginx calls it when nobody is left to ask: it answers 502
local MAX_REPETITIONS = 1 -- of a request that broke off: it may be what ends the replicas that it is sent to
local OLD_WORKERS_SECONDS = 3600 -- for so long at the most an old worker may still choose by routes of before

local replicas = ngx.shared.orchestry_replicas -- app -> its lines; "/digest" and "/version" beside them
local requests = ngx.shared.orchestry_requests -- "ADDRESS:PORT" -> requests in flight; "PID/ADDRESS:PORT" -> a worker's

local M = {}
local known = {} -- app -> replicas as this worker parsed them last
local known_version


local function parse(lines)
    local list = {}
    for address, port, weight in lines:gmatch("(%S+) (%d+) (%d+)\n") do
        list[#list + 1] = {
            name = address .. ":" .. port,
            address = address,
            port = tonumber(port),
            weight = tonumber(weight),
            turn = 0,
        }
    end
    return list
end


local function without_draining(list)
    local live = {}
    for _, replica in ipairs(list) do
        if replica.weight > 0 then
            live[#live + 1] = replica
        end
    end
    return live
end


local function replicas_of(app)
    local version = replicas:get("/version")
    if version ~= known_version then
        known, known_version = {}, version
    end
    local list = known[app]
    if not list then
        list = without_draining(parse(replicas:get(app) or ""))
        known[app] = list
    end
    return list
end


local function lines_by_app(text)
    local lines, app = {}, nil
    for line in text:gmatch("[^\n]+\n") do
        local name = line:match("^app (%S+)\n$")
        if name then
            app, lines[name] = name, ""
        elseif app then
            lines[app] = lines[app] .. line
        end
    end
    return lines
end


-- Takes over a list of replicas. A whole one names all apps: `forget` is called with every other one.
local function take(text, forget)
    local named = lines_by_app(text)
    for app, lines in pairs(named) do
        local ok, err = replicas:safe_set(app, lines)
        if not ok then
            return nil, err
        end
        for _, replica in ipairs(parse(lines)) do
            requests:add(replica.name, 0)
        end
    end
    if forget then
        for _, key in ipairs(replicas:get_keys(0)) do
            if not named[key] and key:sub(1, 1) ~= "/" then
                forget(key)
            end
        end
    end
    replicas:set("/digest", text:match("^digest (%S+)\n"))
    replicas:incr("/version", 1, 0)
    return true
end


local function count(name, change)
    requests:incr(name, change, 0)
    requests:incr(ngx.worker.pid() .. "/" .. name, change, 0)
end


local function least_busy(list, tried)
    local best, best_load, equals
    for _, replica in ipairs(list) do
        if not tried[replica.name] then
            local load = (requests:get(replica.name) or 0) / replica.weight
            if not best or load < best_load then
                best, best_load, equals = replica, load, {replica}
            elseif load == best_load then
                equals[#equals + 1] = replica
            end
        end
    end
    if not best or #equals == 1 then
        return best
    end
    -- in turn, each as often as its weight says and evenly spread
    local total = 0
    for _, replica in ipairs(equals) do
        replica.turn = replica.turn + replica.weight
        total = total + replica.weight
        if replica.turn > best.turn then
            best = replica
        end
    end
    best.turn = best.turn - total
    return best
end


-- The replica that a key belongs to. Replicas that come or go move only the keys that were, or will be, theirs.
local function owner(list, tried, key)
    local best, best_score
    for _, replica in ipairs(list) do
        if not tried[replica.name] then
            local hash = ngx.md5_bin(key .. replica.name)
            local a, b, c = hash:byte(1, 3)
            local score = -replica.weight / math.log((a * 65536 + b * 256 + c + 0.5) / 16777216)
            if not best or score > best_score then
                best, best_score = replica, score
            end
        end
    end
    return best
end


local function choose(list, tried, key)
    if key then
        return owner(list, tried, key)
    end
    return least_busy(list, tried)
end


-- init_by_lua: what nginx starts with. In a reload the workers of before go on meanwhile, also with apps that it lacks.
function M.seed(path)
    local file = io.open(path)
    if file then
        assert(take(file:read("*a"), function(app) replicas:expire(app, OLD_WORKERS_SECONDS) end))
        file:close()
    end
end


-- init_worker_by_lua: a worker that was killed left its requests counted
function M.repair()
    local gone = {}
    for _, key in ipairs(requests:get_keys(0)) do
        local pid, name = key:match("^(%d+)/(.*)$")
        if pid then
            if gone[pid] == nil then
                local dead = ffi.C.kill(tonumber(pid), 0) ~= 0 and ffi.errno() == ESRCH
                gone[pid] = dead and requests:add("/gone/" .. pid, true, 60) -- one process repairs, not several
            end
            if gone[pid] then
                requests:incr(name, -(requests:get(key) or 0), 0)
                requests:delete(key)
            end
        end
    end
end


-- rewrite_by_lua: an app without a live replica answers 503. Its replicas go by another name than its own where they
-- are not spoken to in plain HTTP.
function M.admit(app)
    local pool = ngx.var.orchestry_pool
    pool = pool and pool ~= "" and pool or app
    if pool ~= "-" and #replicas_of(pool) == 0 then
        ngx.header["Retry-After"] = 1
        return ngx.exit(503)
    end
end


-- set_by_lua: whoever is not trusted ("0", or nobody is) can't tell an app on whose behalf a request is made. A trusted
-- proxy can, but by names with hyphens alone: those with an underscore are its clients', which it doesn't know, and
-- nginx, like many apps, would take them for the others.
function M.drop_hearsay(trusted)
    for name in pairs(ngx.req.get_headers(0, true)) do
        local lower = name:lower()
        if lower == "forwarded" or lower:find("^x[-_]forwarded[-_]") then
            if trusted ~= "1" or lower:find("_", 1, true) then
                ngx.req.clear_header(name)
            end
        end
    end
end


-- Whether the try before this one broke off: the request was sent, and no head of an answer came. A connection that
-- was refused has sent nothing, and an answer that says 500 is one.
local function broke_off()
    -- nginx lists one value for each try, and nothing after a colon for the one that is about to begin
    local sent = (ngx.var.upstream_bytes_sent or ""):match("(%S+) : $")
    local answered = (ngx.var.upstream_header_time or ""):match("(%S+) : $")
    return sent and sent ~= "0" and answered == "-"
end


-- balancer_by_lua, once for each try
function M.balance(app, retries, key, websocket_seconds)
    local list, context = replicas_of(app), ngx.ctx
    local tried = context.tried
    if tried then
        M.done()
        context.broken = (context.broken or 0) + (broke_off() and 1 or 0)
        if context.broken > MAX_REPETITIONS then
            return ngx.exit(BUSY)
        end
    else
        tried = {}
        context.tried = tried
        balancer.set_more_tries(math.min(retries, math.max(#list - 1, 0)))
        if websocket_seconds and ngx.var.orchestry_upgrade ~= "" then
            assert(balancer.set_timeouts(nil, websocket_seconds, websocket_seconds))
        end
    end
    local replica = choose(list, tried, key) or choose(list, {}, key)
    if not replica then
        return ngx.exit(ngx.ERROR)
    end
    assert(balancer.set_current_peer(replica.address, replica.port))
    count(replica.name, 1)
    tried[replica.name] = true
    context.counted = replica.name
end


-- log_by_lua: the request has ended, or this try of it
function M.done()
    local name = ngx.ctx.counted
    if name then
        count(name, -1)
        ngx.ctx.counted = nil
    end
end


-- the control socket: the digest of the list in force
function M.digest()
    return replicas:get("/digest") or ""
end


-- the control socket: a list to take over; one that names its predecessor holds only the apps that changed
function M.push()
    ngx.req.read_body() -- the buffer is large enough for any list
    local base = ngx.var.http_if_match
    if base and base ~= M.digest() then
        return ngx.exit(412)
    end
    local text = ngx.req.get_body_data()
    local ok, err = take(text or "", not base and function(app) replicas:delete(app) end)
    if not ok then
        ngx.status = 507
        ngx.say(err)
    else
        ngx.say(M.digest())
    end
end


-- the control socket: requests in flight by replica
function M.show_requests()
    M.repair()
    for _, key in ipairs(requests:get_keys(0)) do
        if not key:find("/", 1, true) then
            ngx.say(key, " ", math.max(requests:get(key) or 0, 0))
        end
    end
end


return M
