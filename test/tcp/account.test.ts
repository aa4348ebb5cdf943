import { expect, test } from 'bun:test'
import { newAccount } from '../../src/tcp/account.ts'

test('an account begins with nothing, and no two share their counts', () => {
  const account = newAccount()
  expect(Object.values(account).every((count) => count === 0)).toBe(true)
  account.sessionsTotal += 1
  expect(newAccount().sessionsTotal).toBe(0)
})
