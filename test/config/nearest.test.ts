/** The known name that a mistyped one was meant to be. */
import { expect, test } from 'bun:test'
import { nearestName } from '../../src/config/nearest.ts'

const KNOWN = ['address', 'network', 'tickInterval', 'enableTLS', 'auth']

test('a slip leads to the name that was meant', () => {
  expect(nearestName('adress', KNOWN)).toBe('address')
  expect(nearestName('netwrok', KNOWN)).toBe('network')
  expect(nearestName('tickinterval', KNOWN)).toBe('tickInterval')
  expect(nearestName('EnableTls', KNOWN)).toBe('enableTLS')
  expect(nearestName('aut', KNOWN)).toBe('auth')
})

test('a name that is far from all of them leads nowhere', () => {
  expect(nearestName('colour', KNOWN)).toBeUndefined()
  expect(nearestName('x', KNOWN)).toBeUndefined()
  expect(nearestName('', KNOWN)).toBeUndefined()
  expect(nearestName('address', [])).toBeUndefined()
})

test('a name of any length costs nothing', () => {
  const started = performance.now()
  expect(nearestName('a'.repeat(1_000_000), KNOWN)).toBeUndefined()
  expect(performance.now() - started).toBeLessThan(50)
})
