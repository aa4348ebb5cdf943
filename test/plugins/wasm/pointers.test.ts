/** Every import that takes a pointer, with pointers and lengths at every edge. */
import { describe, expect, test } from 'bun:test'
import { DEFAULT_LIMITS } from '../../../src/plugins/limits.ts'
import { makeBelongings } from '../../../src/plugins/wasm/belongings.ts'
import { Host, posternImports } from '../../../src/plugins/wasm/host.ts'
import { CALL_BYTES_MAX } from '../../../src/plugins/wasm/limits.ts'
import { GuestMemory } from '../../../src/plugins/wasm/memory.ts'
import { PluginStore } from '../../../src/plugins/wasm/store.ts'
import { trapOf } from '../../../src/plugins/wasm/trap.ts'
import { wasiImports } from '../../../src/plugins/wasm/wasi.ts'
import { makeScene, makeSession } from '../../fixtures/wasm/kit.ts'

const PAGES = 3
const SIZE = PAGES * 65_536
const EDGES = [
  0,
  1,
  SIZE - 1,
  SIZE,
  SIZE + 1,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_fff0,
  0xffff_ffff,
] as const

/** The most that a length may be; getters only look whether the value fits. */
type Most = 'call' | 'output' | 'kv' | 'any'
const MOST: Readonly<Record<Most, number>> = {
  call: CALL_BYTES_MAX,
  output: DEFAULT_LIMITS.outputBytesMax,
  kv: DEFAULT_LIMITS.kvBytesMax,
  any: Number.POSITIVE_INFINITY,
}

/** A pointer with its length, or with a length that the import knows by itself. */
type Place = { readonly most: Most } | { readonly bytes: number }
type Given = number | Place

const TEXT = { most: 'call' } as const
const ROOM = { most: 'any' } as const
const postern: Readonly<Record<string, readonly Given[]>> = {
  output: [{ most: 'output' }],
  log: [0, ROOM],
  config: [TEXT, ROOM],
  connection: [ROOM],
  session_get: [TEXT, ROOM],
  session_set: [TEXT, TEXT],
  kv_get: [TEXT, ROOM],
  kv_set: [TEXT, { most: 'kv' }, 0],
  kv_delete: [TEXT],
  kv_output: [TEXT],
  signal: [TEXT, TEXT],
  metric: [0, 1, TEXT],
  random: [TEXT],
}
const wasi: Readonly<Record<string, readonly Given[]>> = {
  args_get: [{ bytes: 0 }, { bytes: 0 }],
  args_sizes_get: [{ bytes: 4 }, { bytes: 4 }],
  environ_get: [{ bytes: 0 }, { bytes: 0 }],
  environ_sizes_get: [{ bytes: 4 }, { bytes: 4 }],
  clock_res_get: [0, { bytes: 8 }],
  clock_time_get: [0, 0, { bytes: 8 }],
  fd_fdstat_get: [1, { bytes: 24 }],
  fd_write: [1, { bytes: 0 }, 0, { bytes: 4 }],
  poll_oneoff: [{ bytes: 0 }, { bytes: 0 }, 0, { bytes: 4 }],
  random_get: [TEXT],
}

function make() {
  const { surroundings } = makeScene({ level: 'error' })
  const belongings = makeBelongings('p', surroundings.log, DEFAULT_LIMITS)
  belongings.store = new PluginStore({ bytesMax: DEFAULT_LIMITS.kvBytesMax, keysMax: 100 })
  const host = new Host(belongings)
  host.adopt(new GuestMemory(new WebAssembly.Memory({ initial: PAGES })))
  host.begin(makeSession())
  return { postern: posternImports(host), wasi: wasiImports(host) }
}

/** The kind of trap that a place must end in, or null. */
function flawOf(place: Place, pointer: number, length: number): 'pointer' | 'limit' | null {
  if (pointer + length > SIZE) return 'pointer'
  return 'most' in place && length > MOST[place.most] ? 'limit' : null
}

const lengthsOf = (place: Place): readonly number[] =>
  'bytes' in place ? [place.bytes] : [...EDGES, CALL_BYTES_MAX, CALL_BYTES_MAX + 1]

/** Calls an import with one place at each edge, and all others at the begin of the memory. */
function tryPlaces(run: (context: unknown, ...args: number[]) => unknown, given: readonly Given[]) {
  let tried = 0
  for (const [turn, place] of given.entries()) {
    if (typeof place === 'number') continue
    for (const pointer of EDGES) {
      for (const length of lengthsOf(place)) {
        const args = given.flatMap((one, index) => {
          if (typeof one === 'number') return [one]
          const at = index === turn ? pointer : 0
          // As an engine hands them over: signed.
          return 'bytes' in one ? [at | 0] : [at | 0, index === turn ? length | 0 : 0]
        })
        let kind: string | null = null
        try {
          run(null, ...args)
        } catch (thrown) {
          kind = trapOf(thrown).kind
        }
        expect({ turn, pointer, length, kind }).toEqual({
          turn,
          pointer,
          length,
          kind: flawOf(place, pointer, length),
        })
        tried++
      }
    }
  }
  return tried
}

describe('pointers and lengths at every edge are checked by', () => {
  const all = make()
  for (const [name, given] of Object.entries(postern)) {
    test(`postern.${name}`, () => {
      expect(tryPlaces(all.postern[name]!, given)).toBeGreaterThanOrEqual(EDGES.length)
    })
  }
  for (const [name, given] of Object.entries(wasi)) {
    test(`${name} of WASI`, () => {
      expect(tryPlaces(all.wasi[name]!, given)).toBeGreaterThanOrEqual(EDGES.length)
    })
  }

  test('every import of the module, none left out', () => {
    const without = ['verdict', 'now_ms', 'log_enabled']
    const known = [...Object.keys(postern), ...without].sort()
    expect(Object.keys(all.postern).sort()).toEqual(known)
  })
})

test('the pieces of fd_write are checked one by one', () => {
  const { surroundings } = makeScene()
  const host = new Host(makeBelongings('p', surroundings.log, DEFAULT_LIMITS))
  const memory = new WebAssembly.Memory({ initial: 1 })
  host.adopt(new GuestMemory(memory))
  const write = wasiImports(host)['fd_write']!
  const pieces = new DataView(memory.buffer)
  for (const pointer of [65_536, 65_537, 0x8000_0000, 0xffff_fff0]) {
    pieces.setUint32(8, pointer, true)
    pieces.setUint32(12, 1, true)
    expect(() => write(null, 1, 0, 2, 32)).toThrow('outside the memory')
  }
  pieces.setUint32(8, 0, true)
  pieces.setUint32(12, 65_536, true)
  expect(write(null, 1, 0, 2, 32)).toBe(0)
  pieces.setUint32(4, 1, true)
  expect(() => write(null, 1, 0, 2, 32)).toThrow('fd_write was given over')
  for (const count of [1025, 0x2000_0000, -1]) {
    expect(() => write(null, 1, 0, count, 32)).toThrow('fd_write was given over 1024 pieces')
  }
})
