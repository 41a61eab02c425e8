-- What Traffic Server must do beside caching, for Catharsis. Why: docs/caches/README.md.
--
-- 1. The cache key: the request is put into the canonical form of its host's rules before it is mapped, so that GET, PURGE and
--    the rules for directories all meet there; the origin gets the URL that the client sent.
-- 2. The age of a copy: `Date` becomes the second in which its fetch began, by this machine's clock.
-- 3. `X-Catharsis-Purge` marks answers to a PURGE that are Traffic Server's own; `X-Cache` is for people and tests.

local function names(...)
    local set = {}
    for _, name in ipairs({ ... }) do
        set[name] = true
    end
    return set
end

-- The rules of each host; one that is not here has none.
--   drop = true        no query counts
--   only = names(..)   only these parameters count
--   without = names(..) all parameters count but these
--   sorted = true      their order does not count
--   folded = true      upper and lower case of the path do not differ
--   scheme = true      http and https are two resources (the scheme is what X-Forwarded-Proto says)
--   any_port = true    all ports share their copies
local rules = {
    ['drop.rules.test'] = { drop = true },
    ['only.rules.test'] = { only = names('id', 'v') },
    ['without.rules.test'] = { without = names('utm_source', 'sid') },
    ['sorted.rules.test'] = { sorted = true },
    ['folded.rules.test'] = { folded = true },
    ['scheme.rules.test'] = { scheme = true },
    ['port.rules.test'] = { any_port = true },
    ['all.rules.test'] = { without = names('utm_source', 'sid'), sorted = true, folded = true, any_port = true },
}

-- The parameters that count, in the order that counts. Empty ones never do.
local function canonical_query(rule, query)
    local kept = {}
    for parameter in query:gmatch('[^&]+') do
        local name = parameter:match('^[^=]*')
        if not rule.drop and (not rule.only or rule.only[name]) and not (rule.without and rule.without[name]) then
            kept[#kept + 1] = parameter
        end
    end
    if rule.sorted then
        table.sort(kept)
    end
    return table.concat(kept, '&')
end

-- `name`, `port` of a Host field: lower case, no dot at the end, no port that is a scheme's own.
local function split_host(field)
    local name, port = field:match('^(.-):(%d*)$')
    name = (name or field):lower():gsub('%.$', '')
    if port == '' or port == '80' or port == '443' then
        port = nil
    end
    return name, port
end

-- What the client sent is what the origin gets.
local function send_request()
    ts.ctx['fetched'] = true
    if ts.ctx['host'] then
        ts.server_request.header['Host'] = ts.ctx['host']
    end
    if ts.ctx['path'] then
        ts.server_request.set_uri(ts.ctx['path'])
    end
    if ts.ctx['query'] then
        ts.server_request.set_uri_args(ts.ctx['query'])
    end
end

local function read_response()
    ts.server_response.header['Date'] = os.date('!%a, %d %b %Y %H:%M:%S GMT', ts.ctx['began'])
end

local function send_response()
    if ts.ctx['fetched'] then
        ts.client_response.header['X-Cache'] = 'MISS'
    elseif ts.ctx['purge'] then
        ts.client_response.header['X-Catharsis-Purge'] = 'trafficserver'
    elseif ts.http.get_cache_lookup_status() == TS_LUA_CACHE_LOOKUP_HIT_FRESH then
        ts.client_response.header['X-Cache'] = 'HIT'
    end
end

function do_global_read_request()
    -- By the clock that regex_revalidate reads, and before any of the fetch.
    ts.ctx['began'] = os.time()
    ts.ctx['purge'] = ts.client_request.get_method() == 'PURGE'
    local field = ts.client_request.header['Host'] or ts.client_request.get_url_host() or ''
    local host, port = split_host(field)
    local rule = rules[host] or {}
    if rule.scheme and (ts.client_request.header['X-Forwarded-Proto'] or ''):lower() == 'https' then
        -- The https copies lie at port 443 of the host, which has a map of its own.
        host = host .. ':443'
    elseif port and not rule.any_port then
        host = host .. ':' .. port
    end
    if host ~= field then
        ts.ctx['host'] = field
        ts.client_request.header['Host'] = host
    end
    local path, query = ts.client_request.get_uri(), ts.client_request.get_uri_args()
    if rule.folded and path:lower() ~= path then
        ts.ctx['path'] = path
        ts.client_request.set_uri(path:lower())
    end
    if query and (rule.drop or rule.only or rule.without or rule.sorted) then
        local canonical = canonical_query(rule, query)
        if canonical ~= query then
            ts.ctx['query'] = query
            ts.client_request.set_uri_args(canonical)
        end
    end
    -- Hooks of this request rather than `do_global_..`: only so does `ts.ctx` last until its answer.
    ts.hook(TS_LUA_HOOK_SEND_REQUEST_HDR, send_request)
    ts.hook(TS_LUA_HOOK_READ_RESPONSE_HDR, read_response)
    ts.hook(TS_LUA_HOOK_SEND_RESPONSE_HDR, send_response)
end
