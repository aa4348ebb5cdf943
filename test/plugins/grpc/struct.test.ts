/** Our codec of plugin.v1.Struct against the generated one, and against bytes that lie. */
import { describe, expect, test } from 'bun:test'
import {
  DEPTH_MAX,
  decodeStruct,
  encodeStruct,
  type Struct,
} from '../../../src/plugins/grpc/struct.ts'
import {
  decodeMessage,
  encodeMessage,
  type Plain,
  type PlainStruct,
} from '../../fixtures/grpc/message.ts'

/** A small generator with a fixed seed, so that a failure can be had again. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const TEXTS = ['', 'query', 'zażółć', '\u{1f418} elephant', '\ufeffmark', 'x'.repeat(200), '0\0']
const NUMBERS = [0, -0, 1, -1.5, 2 ** 53, 1e-300, Number.POSITIVE_INFINITY]

function plainValue(next: () => number, depth: number): Plain {
  const pick = Math.floor(next() * (depth > 4 ? 5 : 7))
  if (pick === 0) return null
  if (pick === 1) return NUMBERS[Math.floor(next() * NUMBERS.length)] ?? next()
  if (pick === 2) return TEXTS[Math.floor(next() * TEXTS.length)] ?? ''
  if (pick === 3) return next() < 0.5
  if (pick === 4) return new Uint8Array(Math.floor(next() * 300)).map(() => next() * 256)
  if (pick === 5) return plainStruct(next, depth + 1)
  return Array.from({ length: Math.floor(next() * 5) }, () => plainValue(next, depth + 1))
}

function plainStruct(next: () => number, depth = 0): PlainStruct {
  const keys = Array.from({ length: Math.floor(next() * 6) }, (_, n) => `${TEXTS[n]}${n}`)
  return Object.fromEntries(keys.map((key) => [key, plainValue(next, depth + 1)]))
}

/** One length-delimited field. */
function field(tag: number, content: Uint8Array): Uint8Array {
  const length: number[] = []
  let rest = content.length
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128)
  return Buffer.concat([Uint8Array.of(tag, ...length, rest), content])
}

function nested(depth: number): Struct {
  let struct: Struct = {}
  for (let level = 1; level < depth; level++) struct = { inner: struct }
  return struct
}

describe('values go both ways between our codec and the generated one', () => {
  const next = random(7)
  const samples = Array.from({ length: 500 }, () => plainStruct(next))

  test('what we encode, the generated code decodes to the same values', () => {
    for (const plain of samples) expect(decodeMessage(encodeStruct(plain))).toEqual(plain)
  })

  test('what the generated code encodes, we decode to the same values', () => {
    for (const plain of samples) expect(decodeStruct(encodeMessage(plain))).toEqual(plain)
  })

  test('what we encode, we decode to the same values', () => {
    for (const plain of samples) expect(decodeStruct(encodeStruct(plain))).toEqual(plain)
  })
})

describe('corners of the wire', () => {
  test('empty bytes stay bytes, and NaN stays NaN', () => {
    const struct = decodeStruct(encodeStruct({ request: new Uint8Array(0), n: Number.NaN }))
    expect(struct['request']).toEqual(new Uint8Array(0))
    expect(struct['n']).toBeNaN()
  })

  test('a value with no kind set is null', () => {
    expect(decodeStruct(Uint8Array.of(0x0a, 5, 0x0a, 1, 0x61, 0x12, 0))).toEqual({ a: null })
  })

  test('the key __proto__ is a key like any other', () => {
    const struct = decodeStruct(encodeMessage(JSON.parse('{"__proto__":{"polluted":true}}')))
    expect(Object.keys(struct)).toEqual(['__proto__'])
    expect(struct['polluted']).toBeUndefined()
  })

  test('unknown fields of every wire type are skipped', () => {
    const unknown = [
      0x78, 0x81, 0x01, 0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x7a, 2, 9, 9, 0x7d, 1, 2, 3, 4,
    ]
    const known = encodeStruct({ a: 'b' })
    expect(decodeStruct(Uint8Array.of(...unknown, ...known, ...unknown))).toEqual({ a: 'b' })
  })

  test('bytes are plain arrays also where a Buffer came', () => {
    const struct = decodeStruct(Buffer.from(encodeStruct({ request: Uint8Array.of(1, 2) })))
    expect(Buffer.isBuffer(struct['request'])).toBe(false)
    expect(struct['request']).toEqual(Uint8Array.of(1, 2))
  })
})

describe('bytes that lie are refused', () => {
  test('every truncation of a message is an error or a shorter message, never a wrong read', () => {
    const next = random(11)
    for (let round = 0; round < 20; round++) {
      const whole = encodeStruct(plainStruct(next))
      for (let cut = 0; cut < whole.length; cut++) {
        const piece = whole.slice(0, cut)
        let ours: Struct | 'refused' = 'refused'
        let theirs: PlainStruct | 'refused' = 'refused'
        try {
          ours = decodeStruct(piece)
        } catch {}
        try {
          theirs = decodeMessage(piece)
        } catch {}
        // The generated code lets some truncated fields pass; we never accept more than it does.
        if (ours !== 'refused') expect(ours).toEqual(theirs as PlainStruct)
      }
    }
  })

  test('random bytes never do more than throw', () => {
    const next = random(13)
    for (let round = 0; round < 2000; round++) {
      const bytes = new Uint8Array(40).map(() => next() * 256)
      expect(() => {
        try {
          decodeStruct(bytes)
        } catch (thrown) {
          if (!String(thrown).includes('not a plugin.v1.Struct')) throw thrown
        }
      }).not.toThrow()
    }
  })

  test('a length beyond its surroundings is refused, also where the buffer goes on', () => {
    // The entry says 3 bytes; its key claims 4 of them, which lie behind the entry.
    expect(() => decodeStruct(Uint8Array.of(0x0a, 3, 0x0a, 4, 0x61, 0x62, 0x63, 0x64))).toThrow(
      'truncated at byte 4',
    )
  })

  test('text that is not UTF-8 is refused', () => {
    expect(() =>
      decodeStruct(Uint8Array.of(0x0a, 8, 0x0a, 1, 0x61, 0x12, 3, 0x1a, 1, 0xff)),
    ).toThrow('not UTF-8')
  })

  test('groups, field number 0 and endless numbers are refused', () => {
    expect(() => decodeStruct(Uint8Array.of(0x0b))).toThrow('wire type 3')
    expect(() => decodeStruct(Uint8Array.of(0x02, 0))).toThrow('no field number')
    expect(() => decodeStruct(new Uint8Array(12).fill(0xff))).toThrow('more than ten bytes')
  })

  test('nesting up to the limit passes, one more is refused, both ways', () => {
    const deepest = encodeStruct(nested(DEPTH_MAX))
    expect(encodeStruct(decodeStruct(deepest))).toEqual(deepest)
    expect(() => encodeStruct(nested(DEPTH_MAX + 1))).toThrow('nested deeper than 64')
    const deeper = encodeMessage(nested(DEPTH_MAX + 1) as PlainStruct)
    expect(() => decodeStruct(deeper)).toThrow('nested deeper than 64')
  })

  test('a small message with very many values is refused', () => {
    const elements = new Uint8Array(2_000_004)
    for (let at = 0; at < elements.length; at += 2) elements[at] = 0x0a
    const value = field(0x12, field(0x32, elements))
    const message = field(0x0a, Buffer.concat([field(0x0a, Buffer.from('list')), value]))
    expect(() => decodeStruct(message)).toThrow('more than 1000000 values')
  })
})
