import { expect, test } from 'bun:test'
import { identityOf, isAlive } from '../../src/admin/process-identity.ts'

test('a running process is itself', () => {
  const identity = identityOf(process.pid)
  expect(identity).not.toBeNull()
  expect(identity !== null && isAlive(identity)).toBe(true)
})

test('a process that has ended is not alive', async () => {
  const child = Bun.spawn(['sleep', '60'])
  const identity = identityOf(child.pid)
  expect(identity !== null && isAlive(identity)).toBe(true)
  child.kill('SIGKILL')
  await child.exited
  expect(identity !== null && isAlive(identity)).toBe(false)
  expect(identityOf(child.pid)).toBeNull()
})

test('another process of the same number is not the one that was meant', () => {
  const identity = identityOf(process.pid)
  if (identity === null) throw new Error('this process runs')
  expect(isAlive({ ...identity, startTicks: '1' })).toBe(false)
  expect(isAlive({ ...identity, bootId: 'another boot' })).toBe(false)
})
