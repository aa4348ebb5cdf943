/** A whole module: what it is renamed to, and that real ones and broken ones both get an answer. */
import { describe, expect, test } from 'bun:test'
import { GatewayError } from '../../../src/base/errors.ts'
import {
  FUEL_GRANT,
  INITIALIZE,
  METER_MODULE,
  meter,
  WASI_MODULE,
} from '../../../src/plugins/wasm/meter.ts'
import { binary, codeModule } from '../../fixtures/wasm/binaries.ts'
import { modulePath, readBytes } from '../../fixtures/wasm/kit.ts'
import { fromText, METER_LIMITS, metered, refusal, running } from '../../fixtures/wasm/metering.ts'

const IS_LONG = process.env['POSTERN_LONG'] === '1'
const MUTANTS = IS_LONG ? 100_000 : 2000
const WIDE = { ...METER_LIMITS, memoryPagesMax: 1024, tableElementsMax: 100_000 }
const BUILT = ['audit', 'verdicts', 'verdicts-pdk', 'marks', 'raw', 'caller']

function importsOf(bytes: Uint8Array<ArrayBuffer>): readonly string[] {
  const module = new WebAssembly.Module(bytes)
  return WebAssembly.Module.imports(module).map(({ module: from, name }) => `${from} ${name}`)
}

describe('a metered module', () => {
  test('imports what grants fuel, and WASI by our name, as it was before', () => {
    const { bytes } = metered(
      fromText(`(import "wasi_snapshot_preview1" "fd_write" (func (param i32)))
        (import "wasi_unstable" "fd_write" (func)) (import "postern" "log" (func))`),
    )
    expect(importsOf(bytes)).toEqual([
      `${WASI_MODULE} fd_write`,
      'wasi_unstable fd_write',
      'postern log',
      `${METER_MODULE} refuel`,
    ])
  })

  test('exports what a library would call by itself under our names', () => {
    const fields = '(func (export "_initialize")) (func (export "_start")) (func (export "x"))'
    const { instance } = running(fromText(fields))
    expect(Object.keys(instance.exports)).toEqual([INITIALIZE, 'postern:start', 'x'])
  })

  test('of nothing is a module of nothing', () => {
    expect(Object.keys(running(binary()).instance.exports)).toEqual([])
  })

  test('asks for a grant again and again with the grant that is normally given', () => {
    const endless = fromText('(func (export "run") (loop $l (br $l)))')
    const guest = running(endless, { grant: FUEL_GRANT, grantsMax: 20 })
    expect(guest.call('run')).toBeInstanceOf(Error)
    expect(guest.grants()).toBe(20)
  })
})

describe('a module that was built', () => {
  for (const name of BUILT) {
    test(`is metered and valid: ${name}`, () => {
      const whole = readBytes(modulePath(name))
      const { bytes, shape } = meter(whole, name, WIDE)
      expect(WebAssembly.validate(bytes)).toBe(true)
      expect(bytes.length).toBeLessThan(whole.length * 2)
      expect(shape.functions.has('describe')).toBe(true)
    })

    test(`is metered once, for what grants is nobody else's to import: ${name}`, () => {
      const { bytes } = meter(readBytes(modulePath(name)), name, WIDE)
      expect(refusal(bytes, WIDE)).toContain("such names are the gateway's own")
    })
  }
})

/** A small generator with a seed, so that a failure can be seen again (mulberry32). */
function generator(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

/** A copy that is cut short, has bits or bytes changed, or has some of its bytes twice. */
function changed(whole: Uint8Array, next: (below: number) => number): Uint8Array {
  const bytes = whole.slice()
  const way = next(10)
  if (way === 0) return bytes.subarray(0, next(bytes.length))
  if (way === 1) {
    const from = next(bytes.length)
    bytes.copyWithin(next(bytes.length), from, from + 1 + next(8))
    return bytes
  }
  for (let changes = 1 + next(3); changes > 0; changes--) {
    const at = next(bytes.length)
    bytes[at] = way < 8 ? bytes[at]! ^ (1 << next(8)) : next(256)
  }
  return bytes
}

/** Metered exactly where the engine takes it as it is; null: refused, and rightly or by name. */
function answer(bytes: Uint8Array): boolean | null {
  try {
    return WebAssembly.validate(metered(bytes, WIDE).bytes)
  } catch (thrown) {
    if (thrown instanceof GatewayError) return null
    throw thrown
  }
}

describe('a module that was changed', () => {
  test('is refused, or valid exactly where it was valid before', () => {
    const wholes = BUILT.map((name) => readBytes(modulePath(name)))
    const counts = { valid: 0, invalid: 0, refused: 0 }
    for (let seed = 0; seed < MUTANTS; seed++) {
      const bytes = changed(wholes[seed % wholes.length]!, generator(seed))
      const found = answer(bytes)
      if (found === null) {
        counts.refused++
        continue
      }
      counts[found ? 'valid' : 'invalid']++
      expect({ seed, valid: found }).toEqual({ seed, valid: WebAssembly.validate(bytes) })
    }
    expect(Math.min(counts.valid, counts.invalid, counts.refused)).toBeGreaterThan(MUTANTS / 50)
  })

  test('by being cut at any length is refused, or valid exactly where the rest is', () => {
    const whole = readBytes(modulePath('raw'))
    for (let length = 0; length < whole.length; length++) {
      const bytes = whole.slice(0, length)
      const found = answer(bytes)
      const valid = found === null ? null : WebAssembly.validate(bytes)
      expect({ length, valid: found }).toEqual({ length, valid })
    }
  })
})

test('a refusal names the file and is one of a plugin', () => {
  const tags = codeModule([0x06])
  expect(() => meter(tags, '/opt/x.wasm', METER_LIMITS)).toThrow('/opt/x.wasm: it uses exception')
  expect(refusal(tags)).toContain('build it without')
})
