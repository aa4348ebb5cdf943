/** Every section of a metered module: nothing that was there is lost, nothing added is in reach. */
import { describe, expect, test } from 'bun:test'
import {
  type Bytes,
  body,
  codeModule,
  leb,
  moduleOf,
  named,
  vector,
} from '../../fixtures/wasm/binaries.ts'
import {
  fromText,
  globalOf,
  METER_LIMITS,
  metered,
  refusal,
  running,
} from '../../fixtures/wasm/metering.ts'

const FUNCTION = 0x70
const { memoryPagesMax, tableElementsMax } = METER_LIMITS

describe('memory', () => {
  const memories = (...limits: Bytes): Uint8Array => moduleOf({ memories: [1, ...limits] })

  test('is clamped to the limit, whatever its own maximum', () => {
    for (const own of ['', String(memoryPagesMax + 5), '65536']) {
      const guest = running(
        fromText(`(memory 1 ${own}) (func (export "grow") (param i32) (result i32)
          (memory.grow (local.get 0)))`),
      )
      expect(guest.call('grow', memoryPagesMax)).toBe(-1)
      expect(guest.call('grow', memoryPagesMax - 1)).toBe(1)
      expect(guest.call('grow', 1)).toBe(-1)
    }
  })

  test('keeps a smaller maximum of its own', () => {
    const guest = running(
      fromText(`(memory 1 2) (func (export "grow") (param i32) (result i32)
        (memory.grow (local.get 0)))`),
    )
    expect([guest.call('grow', 2), guest.call('grow', 1)]).toEqual([-1, 1])
  })

  test('beyond the limit at the start, or over its own maximum, is refused', () => {
    expect(() => metered(memories(0, memoryPagesMax))).not.toThrow()
    expect(refusal(memories(0, memoryPagesMax + 1))).toContain('17 pages of memory at the start')
    expect(refusal(memories(1, 3, 2))).toContain('it asks for 3 pages of memory, over its own 2')
    const over = memories(1, 1, ...leb(65_537))
    expect(refusal(over)).toContain('it has 65537 pages of memory, at most 65536')
  })

  test('that is shared, of 64 bits, of other pages or several is refused by name', () => {
    expect(refusal(memories(3, 1, 2))).toContain('threads (shared memory)')
    expect(refusal(memories(4, 1))).toContain('memory64')
    expect(refusal(memories(8, 1, 0))).toContain('custom page sizes')
    expect(refusal(moduleOf({ memories: [2, 0, 1, 0, 1] }))).toContain('multi-memory')
  })
})

describe('a table', () => {
  const tables = (...limits: Bytes): Uint8Array => moduleOf({ tables: [1, FUNCTION, ...limits] })

  test('is clamped to the limit', () => {
    const guest = running(
      fromText(`(table 1 externref) (func (export "grow") (param i32) (result i32)
        (table.grow 0 (ref.null extern) (local.get 0)))`),
    )
    expect(guest.call('grow', tableElementsMax)).toBe(-1)
    expect(guest.call('grow', tableElementsMax - 1)).toBe(1)
  })

  test('that is too large, of 64 bits or has a first value is refused by name', () => {
    expect(refusal(tables(0, ...leb(tableElementsMax + 1)))).toContain('101 elements of a table')
    expect(refusal(tables(4, 1))).toContain('memory64')
    const valued = moduleOf({ tables: [1, 0x40, 0, FUNCTION, 0, 1, 0xd0, FUNCTION, 0x0b] })
    expect(refusal(valued)).toContain('tables with a first value')
    expect(refusal(moduleOf({ tables: [1, 0x63, FUNCTION, 0, 1] }))).toContain('typed function')
  })
})

describe('an export', () => {
  const exporting = (...items: readonly Bytes[]): Uint8Array =>
    codeModule([], { exports: vector(items) })

  test('of each kind is what it was', () => {
    const { instance } = running(
      exporting(
        [...named('f'), 0, 0],
        [...named('t'), 1, 0],
        [...named('m'), 2, 0],
        [...named('g'), 3, 0],
        [...named('\u{feff}g'), 3, 0],
      ),
    )
    const kinds = Object.entries(instance.exports).map(([name, value]) => [name, String(value)])
    expect(kinds).toEqual([
      ['f', expect.stringContaining('function')],
      ['t', '[object WebAssembly.Table]'],
      ['m', '[object WebAssembly.Memory]'],
      ['g', '[object WebAssembly.Global]'],
      ['\u{feff}g', '[object WebAssembly.Global]'],
    ])
  })

  test('cannot name what is added', () => {
    for (const index of [1, 2, 3, 4]) {
      const sentence = `p.wasm: function ${index} does not exist`
      expect(refusal(exporting([...named('f'), 0, index]))).toBe(sentence)
    }
    expect(refusal(exporting([...named('g'), 3, 1]))).toBe('p.wasm: global 1 does not exist')
    expect(refusal(exporting([...named('t'), 1, 1]))).toBe('p.wasm: table 1 does not exist')
    expect(refusal(exporting([...named('m'), 2, 1]))).toBe('p.wasm: memory 1 does not exist')
  })

  test('by one of our own names, of a tag or of no kind is refused', () => {
    for (const name of ['postern:initialize', 'postern:x']) {
      expect(refusal(exporting([...named(name), 0, 0]))).toContain(`it exports ${name}; such names`)
    }
    expect(refusal(exporting([...named('e'), 4, 0]))).toContain('exception handling')
    expect(refusal(exporting([...named('e'), 5, 0]))).toContain('the number of no kind')
  })
})

describe('the start function', () => {
  test('runs, and is the same whether it is imported or not', () => {
    const started: string[] = []
    const imports = { m: { f: () => started.push('imported') } }
    running(fromText('(import "m" "f" (func $f)) (start $f)'), { imports })
    running(fromText('(import "m" "f" (func $f)) (func $s (call $f) (call $f)) (start $s)'), {
      imports,
    })
    expect(started).toEqual(['imported', 'imported', 'imported'])
  })

  test('cannot be one that is added', () => {
    for (const index of [1, 2, 3]) {
      expect(refusal(codeModule([], { start: [index] }))).toContain(`function ${index}`)
    }
  })
})

describe('a segment of elements', () => {
  /** Functions 0 to 2 return their number; 3 takes an index and calls what lies there. */
  const elementModule = (segment: Bytes, code: Bytes = []): Uint8Array =>
    moduleOf({
      types: vector([
        [0x60, 0, 1, 0x7f],
        [0x60, 1, 0x7f, 1, 0x7f],
      ]),
      functions: vector([[0], [0], [0], [1]]),
      tables: vector([
        [FUNCTION, 0, 4],
        [FUNCTION, 0, 4],
      ]),
      exports: vector([[...named('call'), 0, 3]]),
      elements: vector([segment]),
      code: vector([
        ...[0, 1, 2].map((result) => body([0x41, result])),
        body([...code, 0x20, 0, 0x11, 0, segment[0] === 2 || segment[0] === 6 ? 1 : 0]),
      ]),
    })
  const offset: Bytes = [0x41, 1, 0x0b]
  const functions: Bytes = [2, 2, 1]
  const expressions: Bytes = [2, 0xd2, 2, 0x0b, 0xd2, 1, 0x0b]
  /** table.init of both elements to place 1. */
  const init: Bytes = [0x41, 1, 0x41, 0, 0x41, 2, 0xfc, 12, 0, 0]
  const declared: Bytes = [0x41, 1, 0xd2, 2, 0x26, 0, 0x41, 2, 0xd2, 1, 0x26, 0]

  const forms: readonly (readonly [string, Bytes, Bytes])[] = [
    ['active', [0, ...offset, ...functions], []],
    ['passive', [1, 0, ...functions], init],
    ['active of a numbered table', [2, 1, ...offset, 0, ...functions], []],
    ['declared', [3, 0, ...functions], declared],
    ['active of expressions', [4, ...offset, ...expressions], []],
    ['passive of expressions', [5, FUNCTION, ...expressions], init],
    ['active, numbered, of expressions', [6, 1, ...offset, FUNCTION, ...expressions], []],
    ['declared of expressions', [7, FUNCTION, ...expressions], declared],
  ]
  for (const [what, segment, code] of forms) {
    test(`that is ${what} holds the same functions`, () => {
      const guest = running(elementModule(segment, code))
      expect([guest.call('call', 1), guest.call('call', 2)]).toEqual([2, 1])
      expect(guest.call('call', 0)).toBeInstanceOf(Error)
    })
  }

  test('cannot hold a function that is added, or be of a table that there is not', () => {
    for (const index of [4, 5, 6, 7]) {
      const sentence = `p.wasm: function ${index} does not exist`
      expect(refusal(elementModule([0, ...offset, 1, index]))).toBe(sentence)
      expect(refusal(elementModule([5, FUNCTION, 1, 0xd2, index, 0x0b]))).toBe(sentence)
    }
    expect(refusal(elementModule([2, 2, ...offset, 0, 0]))).toBe('p.wasm: table 2 does not exist')
    expect(refusal(elementModule([8]))).toContain('8 begins no segment of elements')
  })

  test('shares a million elements with all others', () => {
    const sentence = 'its segments have over 1000000 elements'
    expect(refusal(elementModule([1, 0, ...leb(1_000_001)]))).toContain(sentence)
  })
})

describe('a segment of data', () => {
  const dataModule = (segment: Bytes): Uint8Array =>
    codeModule([], { data: vector([segment]), exports: vector([[...named('m'), 2, 0]]) })

  test('of every form holds the same bytes', () => {
    for (const segment of [
      [0, 0x41, 8, 0x0b, 2, 7, 9],
      [2, 0, 0x41, 8, 0x0b, 2, 7, 9],
    ]) {
      const memory = running(dataModule(segment)).instance.exports['m']
      const bytes = memory instanceof WebAssembly.Memory ? new Uint8Array(memory.buffer) : []
      expect([...bytes.slice(7, 11)]).toEqual([0, 7, 9, 0])
    }
    const passive = running(
      fromText(`(memory 1) (data $a "\\01\\02\\03") (func (export "f") (result i32)
        (memory.init $a (i32.const 4) (i32.const 1) (i32.const 2)) (data.drop $a)
        (i32.load (i32.const 4)))`),
    )
    expect(passive.call('f')).toBe(0x0302)
    expect(passive.call('f')).toBeInstanceOf(Error)
  })

  test('of no form, of another memory or with a length that lies is refused', () => {
    expect(refusal(dataModule([3]))).toContain('3 begins no segment of data')
    expect(refusal(dataModule([2, 1, 0x41, 0, 0x0b, 0]))).toContain('memory 1 does not exist')
    expect(refusal(dataModule([1, 5, 1]))).toContain('cut short')
  })
})

test('calls reach the same functions, and globals are the same, behind what is added', () => {
  const guest = running(
    fromText(`(import "m" "three" (func $three (result i32)))
      (global $g (export "g") (mut i32) (i32.const 5)) (table 1 funcref) (elem (i32.const 0) $four)
      (func $four (result i32) (i32.const 4))
      (func $both (param i32) (result i32 i32) (local.get 0) (global.get $g))
      (func (export "run") (result i32) (global.set $g (i32.const 6))
        (i32.add (call $three) (call_indirect (result i32) (i32.const 0))))
      (func (export "many") (result i32 i32) (return_call $both (i32.const 8)))
      (func (export "vector") (result i32) (i8x16.extract_lane_u 3 (i8x16.shuffle
        0 1 2 20 4 5 6 7 8 9 10 11 12 13 14 15 (v128.const i64x2 0 0)
        (i8x16.splat (i32.const 9)))))`),
    { imports: { m: { three: () => 3 } } },
  )
  expect(guest.call('run')).toBe(7)
  expect(globalOf(guest, 'g')).toBe(6)
  expect(guest.call('many')).toEqual([8, 6])
  expect(guest.call('vector')).toBe(9)
})

test('a module that is over the limit with its checks is refused', () => {
  const sentence = 'p.wasm: with checks of time it has over 100 bytes'
  const bytes = codeModule([], { data: vector([[1, ...leb(200), ...Array<number>(200).fill(1)]]) })
  expect(refusal(bytes, { moduleBytesMax: 100 })).toBe(sentence)
})
