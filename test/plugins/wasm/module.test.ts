/** What is read of a module before its code: the exact types of what it imports and exports. */
import { describe, expect, test } from 'bun:test'
import { MODULE_ITEMS_MAX, TYPE_VALUES_MAX } from '../../../src/plugins/wasm/limits.ts'
import { type Bytes, leb, moduleOf, named, vector } from '../../fixtures/wasm/binaries.ts'
import { fromText, metered, refusal } from '../../fixtures/wasm/metering.ts'

describe('the shape of a module', () => {
  test('tells the exact types of imports and exports', () => {
    const { shape } = metered(
      fromText(`(import "env" "abort" (func $a (param i32 i32 i32 i32)))
        (import "m" "f" (func $f (param f64 i64) (result f32)))
        (memory (export "memory") 1)
        (func (export "none"))
        (func (export "pair") (result i32 i64) (i32.const 1) (i64.const 2))
        (func (export "references") (param externref v128) (result funcref) (ref.null func))
        (export "again" (func $f))`),
    )
    expect(shape.imports).toEqual([
      { module: 'env', name: 'abort', type: '(i32, i32, i32, i32) -> ()' },
      { module: 'm', name: 'f', type: '(f64, i64) -> f32' },
    ])
    expect(Object.fromEntries(shape.functions)).toEqual({
      none: '() -> ()',
      pair: '() -> (i32, i64)',
      references: '(externref, v128) -> funcref',
      again: '(f64, i64) -> f32',
    })
    expect([...shape.memories]).toEqual(['memory'])
  })

  test('has its own names, not those it is rewritten with', () => {
    const { shape } = metered(
      fromText(`(import "wasi_snapshot_preview1" "fd_write" (func))
        (func (export "_initialize"))`),
    )
    expect(shape.imports[0]).toMatchObject({ module: 'wasi_snapshot_preview1', name: 'fd_write' })
    expect([...shape.functions.keys()]).toEqual(['_initialize'])
  })
})

describe('an import', () => {
  const kinds: readonly (readonly [string, Bytes])[] = [
    ['table', [1, 0x70, 0, 1]],
    ['memory', [2, 0, 1]],
    ['global', [3, 0x7f, 0]],
    ['tag', [4, 0, 0]],
    ['kind 5', [5]],
  ]
  for (const [what, kind] of kinds) {
    test(`of a ${what} is refused`, () => {
      const imports = vector([[...named('env'), ...named('x'), ...kind]])
      const sentence = `p.wasm: it imports env.x, a ${what}; only functions are granted`
      expect(refusal(moduleOf({ imports }))).toBe(sentence)
    })
  }

  test('of a type that does not exist is refused', () => {
    const imports = vector([[...named('env'), ...named('x'), 0, 1]])
    expect(refusal(moduleOf({ imports }))).toBe('p.wasm: type 1 does not exist')
  })

  test('by one of our own names is refused', () => {
    const imports = vector([[...named('postern:meter'), ...named('refuel'), 0, 0]])
    expect(refusal(moduleOf({ imports }))).toContain("such names are the gateway's own")
  })
})

describe('a type', () => {
  test('of collected objects or of no kind is refused', () => {
    for (const form of [0x4e, 0x4f, 0x50, 0x5e, 0x5f]) {
      expect(refusal(moduleOf({ types: [1, form] }))).toContain('garbage collection')
    }
    expect(refusal(moduleOf({ types: [1, 0x61] }))).toContain('0x61 begins no type')
  })

  test(`has ${TYPE_VALUES_MAX} parameters and results at most`, () => {
    const values = (count: number): Bytes => [...leb(count), ...Array<number>(count).fill(0x7f)]
    const most = values(TYPE_VALUES_MAX)
    const over = values(TYPE_VALUES_MAX + 1)
    expect(() => metered(moduleOf({ types: [1, 0x60, ...most, ...most] }))).not.toThrow()
    const sentence = `it has ${TYPE_VALUES_MAX + 1} values of a type, at most ${TYPE_VALUES_MAX}`
    expect(refusal(moduleOf({ types: [1, 0x60, ...over, 0] }))).toContain(sentence)
    expect(refusal(moduleOf({ types: [1, 0x60, 0, ...over] }))).toContain(sentence)
  })

  test('all together have a million parameters and results at most', () => {
    const long = [0x60, 100, ...Array<number>(100).fill(0x7f), 0]
    const types = (count: number): Bytes => vector(Array<Bytes>(count).fill(long))
    expect(() => metered(moduleOf({ types: types(10_000) }))).not.toThrow()
    expect(refusal(moduleOf({ types: types(10_001) }))).toContain('over 1000000 parameters')
  })
})

describe('a count', () => {
  const over = leb(MODULE_ITEMS_MAX + 1)

  test('is taken on trust nowhere', () => {
    for (const part of [
      'types',
      'imports',
      'functions',
      'globals',
      'exports',
      'elements',
      'data',
    ]) {
      const sentence = `it has ${MODULE_ITEMS_MAX + 1} ${part}, at most ${MODULE_ITEMS_MAX}`
      expect(refusal(moduleOf({ [part]: over }))).toContain(sentence)
      const short = part === 'types' ? { types: leb(3) } : { [part]: leb(3) }
      expect(refusal(moduleOf(short))).toContain('cut short')
    }
    expect(refusal(moduleOf({ tables: leb(17) }))).toContain('it has 17 tables, at most 16')
    expect(refusal(moduleOf({ tables: leb(3) }))).toContain('cut short')
  })

  test('of functions names types that exist', () => {
    expect(refusal(moduleOf({ functions: [1, 1] }))).toBe('p.wasm: type 1 does not exist')
  })

  test('of bodies is that of the functions', () => {
    expect(refusal(moduleOf({ functions: [1, 0] }))).toContain('it has 0 bodies for 1 functions')
    const code = vector([
      [2, 0, 0x0b],
      [2, 0, 0x0b],
    ])
    const sentence = 'it has 2 bodies for 1 functions'
    expect(refusal(moduleOf({ functions: [1, 0], code }))).toContain(sentence)
  })
})
