/**
 * The Lua script of one exchange between a gateway and the store, about one pool: it writes what changed here and
 * returns what changed elsewhere. One script, so that epochs are compared and written atomically, and every time is the
 * store's own.
 *
 *   KEYS: records by id · deadlines of their leases · version of the records · gateways alive · calls running from here
 *   ARGV: this gateway · its running calls as JSON · the version it knows · then (kind, id, payload) for each change
 *
 * A record of an older epoch never replaces a newer one. Under the same epoch the first generation stays as long as its
 * lease does, and a removed backend stays removed. Running calls are stored for each gateway, with an expiry, and not
 * in a shared counter: those of a gateway that died are gone after three seconds.
 */
export const EXCHANGE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local dirty = false

local function put(id, text)
  local new = cjson.decode(text)
  local old = redis.call('HGET', KEYS[1], id)
  if old then
    old = cjson.decode(old)
    if old.epoch > new.epoch then return end
    if old.epoch == new.epoch then
      local ends = tonumber(redis.call('ZSCORE', KEYS[2], id) or 0)
      if old.generation ~= new.generation and ends > now then return end
      if old.state == 'removed' and new.state ~= 'removed' then return end
    end
  end
  redis.call('HSET', KEYS[1], id, text)
  redis.call('ZADD', KEYS[2], string.format('%.0f', now + new.ttlMs), id)
  dirty = true
end

local function renew(id, text)
  local old = redis.call('HGET', KEYS[1], id)
  if not old then return end
  old = cjson.decode(old)
  local said = cjson.decode(text)
  if old.state == 'removed' or old.generation ~= said.generation then return end
  redis.call('ZADD', KEYS[2], string.format('%.0f', now + said.ttlMs), id)
end

for at = 4, #ARGV, 3 do
  if ARGV[at] == 'put' then put(ARGV[at + 1], ARGV[at + 2]) else renew(ARGV[at + 1], ARGV[at + 2]) end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - 600000))) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  dirty = true
end

local version = redis.call('GET', KEYS[3])
if dirty or not version then
  version = string.format('%.0f', math.max(now, (tonumber(version) or 0) + 1))
  redis.call('SET', KEYS[3], version)
end

redis.call('SET', KEYS[5], ARGV[2], 'PX', 3000)
redis.call('ZADD', KEYS[4], string.format('%.0f', now + 5000), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('%.0f', now))
local loads = {}
local base = string.sub(KEYS[5], 1, #KEYS[5] - #ARGV[1])
for _, gateway in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do
  local load = gateway ~= ARGV[1] and redis.call('GET', base .. gateway)
  if load then loads[#loads + 1] = load end
end

local records = false
if version ~= ARGV[3] then records = redis.call('HVALS', KEYS[1]) end
return { string.format('%.0f', now), version, records, redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES'), loads }
`
