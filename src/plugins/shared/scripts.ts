/**
 * How data lie in Redis or Valkey, and the scripts that keep them consistent there. Of a plugin:
 *
 *     PREFIX:{PLUGIN}:v       the last version given out; it begins at the time, so that it is
 *                             higher than before also where the data were lost
 *     PREFIX:{PLUGIN}:e       what that began at
 *     PREFIX:{PLUGIN}:k:KEY   "VERSION BASE64", with the time that is left of it
 *
 * Each change is told on the channel PREFIX:changes as "VERSION JSON", in the order of versions.
 */
import type { Change, Unsent } from './copy.ts'

const BEGIN = `
local function begin()
  local t = redis.call('TIME')
  local e = string.format('%.0f', t[1] * 1000000 + t[2])
  redis.call('SET', KEYS[1], e)
  redis.call('SET', KEYS[2], e)
  return e
end`

const NEXT_VERSION = `${BEGIN}
local n = redis.call('INCR', KEYS[1])
local v
if n == 1 then v = begin() else v = string.format('%.0f', n) end`

/** Tells the last version, and what the versions began at; begins where nothing is there. */
export const COMPARE_SCRIPT = `${BEGIN}
local at = redis.call('MGET', KEYS[1], KEYS[2])
if at[1] and at[2] then return at end
local e = begin()
return {e, e}`

/** Takes a value. Where it fails nothing has been told yet, and what it began does no harm. */
export const SET_SCRIPT = `${NEXT_VERSION}
if ARGV[3] == '0' then redis.call('SET', KEYS[3], v .. ' ' .. ARGV[2])
else redis.call('SET', KEYS[3], v .. ' ' .. ARGV[2], 'PX', ARGV[3]) end
redis.call('PUBLISH', ARGV[1], v .. ' ' .. ARGV[4])
return v`

/** Takes a value away. */
export const DELETE_SCRIPT = `${NEXT_VERSION}
redis.call('DEL', KEYS[3])
redis.call('PUBLISH', ARGV[1], v .. ' ' .. ARGV[2])
return v`

/**
 * Values with what is left of their time, in the order of the keys, as many as fit: ARGV[1] is the
 * most that one may have, ARGV[2] all together. What is larger comes as its length, a number.
 */
export const READ_SCRIPT = `
local out, sum, most, all = {}, 0, tonumber(ARGV[1]), tonumber(ARGV[2])
for i, key in ipairs(KEYS) do
  local length = redis.call('STRLEN', key)
  if length > most then out[#out + 1] = length
  else
    sum = sum + length
    if sum > all and i > 1 then return out end
    local value = redis.call('GET', key)
    out[#out + 1] = value or ''
  end
  out[#out + 1] = redis.call('PTTL', key)
end
return out`

/** Where the data of one plugin lie. */
export interface Places {
  readonly version: string
  readonly epoch: string
  readonly keys: string
}

export function placesOf(prefix: string, plugin: string): Places {
  // In a cluster all of a plugin's data lie on one server, by the braces.
  const all = `${prefix}:{${plugin}}`
  return { version: `${all}:v`, epoch: `${all}:e`, keys: `${all}:k:` }
}

export function channelOf(prefix: string): string {
  return `${prefix}:changes`
}

/** A pattern that finds the keys which begin with a text. */
export function patternOf(beginning: string): string {
  return `${beginning.replace(/[*?[\]\\]/g, '\\$&')}*`
}

/** The command that tells of a change. `origin` names this process. */
export function commandOf(
  { key, kept }: Unsent,
  { prefix, plugin, origin }: { prefix: string; plugin: string; origin: string },
): readonly string[] {
  const places = placesOf(prefix, plugin)
  const keys = ['3', places.version, places.epoch, places.keys + key]
  const channel = channelOf(prefix)
  if (kept === null) {
    return [DELETE_SCRIPT, ...keys, channel, JSON.stringify([origin, plugin, key, 0, null])]
  }
  const value = Buffer.from(kept.value).toString('base64')
  const told = JSON.stringify([origin, plugin, key, kept.ttlMs, value])
  return [SET_SCRIPT, ...keys, channel, value, String(kept.ttlMs), told]
}

/** A change with who made it, and whose data it is of. */
export interface Told {
  readonly origin: string
  readonly plugin: string
  readonly change: Change
}

const VERSION = /^[1-9]\d{0,15}$/
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/
/** What a guest may give a key at most, in characters. */
const KEY_CHARS_MAX = 65_536
/** As long as a plugin can ask for. */
const TTL_MS_MAX = 4_294_967_295

/** The length of the text that so many bytes of value become. */
export function writtenLength(valueBytes: number): number {
  return Math.ceil(valueBytes / 3) * 4 + 17
}

/** Reads a version; null where the text is none. */
export function parseVersion(text: unknown): number | null {
  if (typeof text !== 'string' || !VERSION.test(text)) return null
  const version = Number(text)
  return Number.isSafeInteger(version) ? version : null
}

function parseBytes(text: string): Uint8Array | null {
  if (text.length % 4 !== 0 || !BASE64.test(text)) return null
  return new Uint8Array(Buffer.from(text, 'base64'))
}

/** Reads what lies at a key; null where that was not written by a gateway. */
export function parseKept(key: string, written: unknown, pttl: unknown): Change | null {
  if (typeof written !== 'string' || key.length > KEY_CHARS_MAX) return null
  const space = written.indexOf(' ')
  const version = parseVersion(written.slice(0, Math.max(0, space)))
  const value = parseBytes(written.slice(space + 1))
  if (version === null || value === null || typeof pttl !== 'number') return null
  return { key, version, value, ttlMs: pttl < 0 ? 0 : Math.max(1, Math.min(pttl, TTL_MS_MAX)) }
}

/** Reads a message of the channel; null where it was not written by a gateway. */
export function parseTold(message: string): Told | null {
  const space = message.indexOf(' ')
  const version = parseVersion(message.slice(0, Math.max(0, space)))
  const parts = version === null ? null : parseList(message.slice(space + 1))
  if (version === null || parts === null || parts.length !== 5) return null
  const [origin, plugin, key, ttlMs, written] = parts
  if (typeof origin !== 'string' || typeof plugin !== 'string') return null
  if (typeof key !== 'string' || key.length > KEY_CHARS_MAX) return null
  if (typeof ttlMs !== 'number' || !Number.isInteger(ttlMs) || ttlMs < 0 || ttlMs > TTL_MS_MAX) {
    return null
  }
  const value = typeof written === 'string' ? parseBytes(written) : null
  if (value === null && written !== null) return null
  return { origin, plugin, change: { version, key, ttlMs, value } }
}

function parseList(json: string): readonly unknown[] | null {
  try {
    const parsed: unknown = JSON.parse(json)
    return Array.isArray(parsed) ? parsed : null
  } catch {
    return null
  }
}
