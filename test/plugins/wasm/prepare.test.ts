import { expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import {
  ASIDE_BYTES,
  type Order,
  prepare,
  prepareAside,
} from '../../../src/plugins/wasm/prepare.ts'
import { assemble } from '../../fixtures/wasm/kit.ts'

const LIMITS = { memoryPagesMax: 16, tableElementsMax: 100, moduleBytesMax: 16 * ASIDE_BYTES }

function order(bytes: Uint8Array, pinned: string | null = null): Order {
  return { bytes, where: 'p.wasm', pinned, limits: LIMITS }
}

/** A module with a custom section that makes it big. */
function big(): Uint8Array {
  const module = assemble('(module (memory (export "memory") 1) (data (i32.const 0) "filled"))')
  const filling = ASIDE_BYTES + 1
  const length: number[] = []
  let left = filling + 2
  for (; left >= 0x80; left >>>= 7) length.push((left & 0x7f) | 0x80)
  return new Uint8Array([...module, 0, ...length, left, 1, 0x66, ...new Uint8Array(filling)])
}

test('the hash is that of the bytes as they came, and those bytes are metered', () => {
  const bytes = assemble('(module (memory (export "memory") 1))')
  const checksum = createHash('sha256').update(bytes).digest('hex')
  const prepared = prepare(order(bytes, checksum))
  expect(prepared).toMatchObject({ kind: 'metered', checksum })
})

test('bytes with another hash than the pinned one are not looked at', () => {
  const prepared = prepare(order(new Uint8Array([1, 2, 3]), '0'.repeat(64)))
  expect(prepared).toMatchObject({
    kind: 'refused',
    sentence: expect.stringMatching(/not the pinned one/),
  })
})

test('what the meter refuses is a sentence that names the file', () => {
  expect(prepare(order(new Uint8Array([1, 2, 3])))).toMatchObject({
    kind: 'refused',
    sentence: expect.stringMatching(/^p\.wasm: not a WebAssembly/),
  })
})

test('on a thread of its own a module is prepared just like here', async () => {
  const bytes = big()
  const here = prepare(order(bytes))
  const aside = await prepareAside(order(bytes), 30_000)
  if (here.kind !== 'metered' || aside.kind !== 'metered') throw new Error('it was refused')
  expect(aside.checksum).toBe(here.checksum)
  expect(Buffer.from(aside.metered.bytes).equals(here.metered.bytes)).toBe(true)
  expect(aside.metered.shape).toEqual(here.metered.shape)
})

test('a refusal comes from the thread as a refusal', async () => {
  const prepared = await prepareAside(order(new Uint8Array(ASIDE_BYTES + 1)), 30_000)
  expect(prepared).toMatchObject({ kind: 'refused', sentence: expect.stringMatching(/^p\.wasm: /) })
})

test('a thread that takes too long is ended, with an error that names the file', async () => {
  await expect(prepareAside(order(big()), 0)).rejects.toThrow('p.wasm: could not be metered')
})
