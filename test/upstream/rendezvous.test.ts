/** The block of a client: the same for ever, on every gateway. */
import { describe, expect, test } from 'bun:test'
import { attraction, keyOf } from '../../src/upstream/rendezvous.ts'

/**
 * Values that another program computed. When this fails, gateways of two versions side by side send
 * one client to two databases: change the code, not the values.
 */
const GOLDEN = [
  ['10.0.0.1', 'writes', 1, '1.5980389735'],
  ['10.0.0.1', 'reads', 1, '1.1360805678'],
  ['10.0.0.1', 'reads', 3, '3.4082417035'],
  ['2001:db8::7', 'writes', 1, '0.9669273874'],
  ['10.0.0.1:50000', 'writes', 1, '12.2066113531'],
  ['', 'writes', 1, '2.5838950687'],
] as const

test.each([...GOLDEN])('%p is drawn to %s with the weight %d as it always was', (...row) => {
  const [key, block, weight, expected] = row
  expect(attraction(key, 'default', block, weight).toFixed(10)).toBe(expected)
})

test('a weight is how many clients are drawn', () => {
  let drawn = 0
  for (let client = 0; client < 4000; client++) {
    const key = `10.0.${client >> 8}.${client & 255}`
    if (attraction(key, 'g', 'a', 3) > attraction(key, 'g', 'b', 1)) drawn += 1
  }
  expect(Math.abs(drawn / 4000 - 0.75)).toBeLessThan(0.03)
})

describe('a client is known', () => {
  const from = (remoteAddress: string) => ({ remoteAddress, remotePort: 50_000 })

  test('by its address, with the port where that is asked for', () => {
    expect(keyOf(from('10.0.0.1'), true)).toBe('10.0.0.1')
    expect(keyOf(from('10.0.0.1'), false)).toBe('10.0.0.1:50000')
    expect(keyOf(from('2001:db8::7'), true)).toBe('2001:db8::7')
    expect(keyOf(from('2001:db8::7'), false)).toBe('2001:db8::7:50000')
  })

  test('as the same on a listener of both IP versions, and whatever its zone is called', () => {
    expect(keyOf(from('::ffff:10.0.0.1'), true)).toBe('10.0.0.1')
    expect(keyOf(from('::ffff:10.0.0.1'), false)).toBe('10.0.0.1:50000')
    expect(keyOf(from('::ffff:7:7'), true)).toBe('::ffff:7:7')
    expect(keyOf(from('fe80::1%eth0'), true)).toBe('fe80::1')
  })

  test('as nothing where it has no address', () => {
    for (const addressOnly of [true, false]) expect(keyOf({}, addressOnly)).toBe('')
  })
})
