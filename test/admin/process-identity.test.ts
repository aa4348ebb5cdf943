import { expect, test } from 'bun:test'
import { spawn } from 'node:child_process'
import { identityOf, isAlive, leadsGroup } from '../../src/admin/process-identity.ts'

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

test('a process that only waits for its parent to ask about it has ended', async () => {
  // By then the shell has become a program that never asks what became of the other one.
  const child = Bun.spawn(['sh', '-c', 'sleep 0.3 & echo $!; exec sleep 600'], { stdout: 'pipe' })
  const ended = Number(new TextDecoder().decode((await child.stdout.getReader().read()).value))
  while (identityOf(ended) !== null) await new Promise(setImmediate)
  expect(() => process.kill(ended, 0)).not.toThrow()
  child.kill('SIGKILL')
  await child.exited
})

test('a process leads a group only where it was made to', () => {
  const apart = spawn('sleep', ['600'], { detached: true })
  const among = spawn('sleep', ['600'])
  expect([leadsGroup(apart.pid!), leadsGroup(among.pid!)]).toEqual([true, false])
  expect(leadsGroup(999_999_999)).toBe(false)
  for (const child of [apart, among]) child.kill('SIGKILL')
})
