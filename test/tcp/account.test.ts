import { expect, test } from 'bun:test'
import { newAccount } from '../../src/tcp/account.ts'

test('an account begins with nothing, and no two share their counts', () => {
  const { tls, ...account } = newAccount()
  const byName = [...tls.connections.entries(), ...tls.failures.entries()].map(([, count]) => count)
  const counts = [account, tls].flatMap((all) => Object.values(all).filter(Number.isInteger))
  expect([...byName, ...counts].every((count) => count === 0)).toBe(true)
  account.sessionsTotal += 1
  expect(newAccount().sessionsTotal).toBe(0)
})
