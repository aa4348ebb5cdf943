/**
 * What a plugin keeps: with the client connection (`session…`: 64 keys, 64 KiB, gone with it), and
 * for itself, shared by its connections (`kv…`: 100,000 keys, 16 MiB, kept over traps and reloads).
 * A value that is read is good until the next getter of any kind. Where a budget is spent a setter
 * is false: that is no failure, and must not be taken for one.
 */
import {
  answer,
  connection,
  keyOf,
  kvDeleteAt,
  kvGetAt,
  kvOutputAt,
  kvSetAt,
  sessionGetAt,
  sessionSetAt,
  signalAt,
} from './host'
import { Json } from './json'
import { JsonReader, JsonToken } from './json-reader'
import { lengthOf, NONE, ptrOf, Slice, slice } from './slice'

const number = memory.data(8)
const reader = new JsonReader()

/** A value kept with the connection, or NONE; `plugin/key` reads another plugin's. */
export function sessionGet(key: string): Slice {
  return sessionGetAt(keyOf(key))
}

export function sessionSet(key: string, value: Slice): bool {
  return sessionSetAt(keyOf(key), value)
}

/** A number kept with the connection, as `sessionSetNumber` keeps it. */
export function sessionGetNumber(key: string, otherwise: i64 = 0): i64 {
  return numberOf(sessionGetAt(keyOf(key)), otherwise)
}

export function sessionSetNumber(key: string, value: i64): bool {
  store<i64>(number, value)
  return sessionSetAt(keyOf(key), slice(number, 8))
}

/** A value of the plugin's own store, or NONE. */
export function kvGet(key: Slice): Slice {
  return kvGetAt(key)
}

/** Keeps a value for `ttlMs` milliseconds; 0: for ever. */
export function kvSet(key: Slice, value: Slice, ttlMs: i32 = 0): bool {
  return kvSetAt(key, value, ttlMs)
}

export function kvGetNumber(key: Slice, otherwise: i64 = 0): i64 {
  return numberOf(kvGetAt(key), otherwise)
}

export function kvSetNumber(key: Slice, value: i64, ttlMs: i32 = 0): bool {
  store<i64>(number, value)
  return kvSetAt(key, slice(number, 8), ttlMs)
}

export function kvDelete(key: Slice): bool {
  return kvDeleteAt(key)
}

/** Makes a stored value the payload, without a copy through the plugin; false: there is none. */
export function kvOutput(key: Slice): bool {
  return kvOutputAt(key) >= 0
}

/** Sends a signal with what `metadata` holds: a JSON object, or nothing where it is empty. */
export function signal(name: string, metadata: Json): bool {
  return signalAt(keyOf(name), metadata.slice)
}

function numberOf(value: Slice, otherwise: i64): i64 {
  return lengthOf(value) == 8 ? load<i64>(ptrOf(value)) : otherwise
}

/**
 * A fact of the connection by its name in `connection`'s JSON: `user`, `database`,
 * `applicationName`, `id`, `group`, `block`, `protocol`; NONE where there is none. Good until the
 * next getter.
 */
export function connectionFact(name: string): Slice {
  if (!connection()) return NONE
  reader.open(answer.slice).next()
  while (reader.next() == JsonToken.String) {
    const isWanted = reader.is(name)
    if (!isWanted) {
      reader.skip()
      continue
    }
    if (reader.next() != JsonToken.String) return NONE
    return reader.value
  }
  return NONE
}

/** The client's address as `host:port`, or NONE. Good until the next getter. */
export function clientAddress(): Slice {
  if (!connection()) return NONE
  reader.open(answer.slice).next()
  while (reader.next() == JsonToken.String) {
    if (!reader.is('client')) {
      reader.skip()
      continue
    }
    reader.next()
    while (reader.next() == JsonToken.String) {
      const isRemote = reader.is('remote')
      if (reader.next() != JsonToken.String) return NONE
      if (isRemote) return reader.value
    }
    return NONE
  }
  return NONE
}
