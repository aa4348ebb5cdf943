/** Plain values become wire values, and are compared as the wire would. */
import { expect, test } from 'bun:test'
import { sameBytes, sameValue, toStruct } from '../../../src/plugins/grpc/plain.ts'

test('parameters keep their types; what the wire has no word for is null or left out', () => {
  const bytes = Uint8Array.of(1)
  expect(
    toStruct({ s: 'x', n: 1, b: true, bytes, list: [1, ['a']], inner: { z: null }, u: undefined }),
  ).toEqual({ s: 'x', n: 1, b: true, bytes, list: [1, ['a']], inner: { z: null } })
  expect(toStruct({ big: 60_000_000_000n, symbol: Symbol('s') })).toEqual({
    big: 60_000_000_000,
    symbol: null,
  })
})

test('equal values are the same wherever they lie, others are not', () => {
  expect(sameBytes(Uint8Array.of(1, 2), Buffer.from([1, 2]))).toBe(true)
  expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false)
  expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false)
  expect(sameValue({ a: [1, { b: null }] }, { a: [1, { b: null }] })).toBe(true)
  expect(sameValue({ a: [1, { b: null }] }, { a: [1, { b: 0 }] })).toBe(false)
  expect(sameValue({ a: 1 }, { a: 1, b: 2 })).toBe(false)
  expect(sameValue([1], [1, 2])).toBe(false)
  expect(sameValue(Number.NaN, Number.NaN)).toBe(true)
  expect(sameValue(null, {})).toBe(false)
  expect(sameValue(Uint8Array.of(1), [1])).toBe(false)
  expect(sameValue('1', 1)).toBe(false)
})
