/** Numbers, names and lengths: what is read is exactly what is there, and never more. */
import { describe, expect, test } from 'bun:test'
import { BinaryReader, BinaryWriter } from '../../../src/plugins/wasm/binary.ts'

function reading(...bytes: readonly number[]): BinaryReader {
  return new BinaryReader(new Uint8Array(bytes), 0, bytes.length, 'p.wasm')
}

function written(write: (out: BinaryWriter) => void): readonly number[] {
  const out = new BinaryWriter('p.wasm', 10_000)
  write(out)
  return [...out.written()]
}

describe('a number', () => {
  test('is read as it was written, at every length', () => {
    for (const value of [
      0,
      1,
      0x7f,
      0x80,
      0x3fff,
      0x4000,
      2 ** 21,
      2 ** 28,
      2 ** 31,
      2 ** 32 - 1,
    ]) {
      const bytes = written((out) => out.u32(value))
      const reader = reading(...bytes)
      expect(reader.u32()).toBe(value)
      expect(reader.done).toBe(true)
    }
  })

  test('with a sign is written as it is read', () => {
    for (const value of [0, -1, 63, 64, -64, -65, 8191, 8192, 2 ** 31 - 1, -(2 ** 31)]) {
      const reader = reading(...written((out) => out.s32(value)))
      expect(reader.s33()).toBe(value)
      expect(reader.done).toBe(true)
    }
  })

  test('may be written longer than it needs to be, within five bytes', () => {
    expect(reading(0x83, 0x80, 0x80, 0x80, 0x00).u32()).toBe(3)
    expect(reading(0x83, 0x80, 0x80, 0x80, 0x00).s33()).toBe(3)
    expect(reading(0xff, 0xff, 0xff, 0xff, 0x7f).s33()).toBe(-1)
  })

  test('of more than five bytes or 32 bits is refused', () => {
    expect(() => reading(0x80, 0x80, 0x80, 0x80, 0x80, 0).u32()).toThrow('longer than five bytes')
    expect(() => reading(0x80, 0x80, 0x80, 0x80, 0x80, 0).s33()).toThrow('longer than five bytes')
    expect(() => reading(0xff, 0xff, 0xff, 0xff, 0x1f).u32()).toThrow('too large')
    expect(() => reading(...Array<number>(10).fill(0x80), 0).skipNumber()).toThrow('ten bytes')
  })

  test('that the section cuts off is refused', () => {
    expect(() => reading(0x80).u32()).toThrow('p.wasm: the module is cut short')
    expect(() => reading().byte()).toThrow('cut short')
    expect(() => reading().peek()).toThrow('cut short')
    expect(() => reading(0xff, 0x80).skipNumber()).toThrow('cut short')
  })
})

describe('a length', () => {
  test('bounds what is read of a section', () => {
    const reader = reading(2, 7, 8, 9)
    const section = reader.section()
    expect([section.byte(), section.byte(), section.done]).toEqual([7, 8, true])
    expect(() => section.byte()).toThrow('cut short')
    expect(reader.byte()).toBe(9)
  })

  test('beyond the end is refused', () => {
    expect(() => reading(3, 1, 2).section()).toThrow('cut short')
    expect(() => reading(0xff, 0xff, 0xff, 0xff, 0x0f, 1).name()).toThrow('cut short')
    expect(() => reading(1).skip(2)).toThrow('cut short')
  })

  test('that is not used up is refused', () => {
    expect(() => reading(1).finish('types')).toThrow('its types is longer than what it holds')
  })
})

test('counts and indices are held against what there is', () => {
  expect(reading(5).count('types', 5)).toBe(5)
  expect(() => reading(6).count('types', 5)).toThrow('it has 6 types, at most 5')
  expect(reading(4).index('local', 5)).toBe(4)
  expect(() => reading(5).index('local', 5)).toThrow('local 5 does not exist')
})

describe('a name', () => {
  test('keeps every character, a byte order mark too', () => {
    for (const name of ['', 'a', '\u{feff}a', 'ü€𝄞', '\0']) {
      expect(reading(...written((out) => out.name(name))).name()).toBe(name)
    }
  })

  test('that is not UTF-8 is refused', () => {
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]]) {
      expect(() => reading(bytes.length, ...bytes).name()).toThrow('not UTF-8')
    }
  })
})

describe('a writer', () => {
  test('grows to its limit and no further', () => {
    const out = new BinaryWriter('p.wasm', 5000, 'a function')
    out.raw(new Uint8Array(4999))
    out.byte(7)
    expect(out.length).toBe(5000)
    expect(out.written()[4999]).toBe(7)
    expect(() => out.byte(1)).toThrow('p.wasm: with checks of time a function has over 5000 bytes')
  })

  test('begins anew where it is cleared', () => {
    const out = new BinaryWriter('p.wasm', 5000)
    out.u32(300)
    out.clear()
    out.byte(1)
    expect([...out.written()]).toEqual([1])
  })
})
