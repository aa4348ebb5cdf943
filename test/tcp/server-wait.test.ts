import { expect, test } from 'bun:test'
import { CONTINUE } from '../../src/hooks/verdict.ts'
import { ServerWait } from '../../src/tcp/server-wait.ts'

test('a chunk is parked once, and a promise is settled once', async () => {
  const wait = new ServerWait()
  expect([wait.unpark(), wait.settle()]).toEqual([false, false])
  wait.park()
  expect([wait.unpark(), wait.unpark()]).toEqual([true, false])
  const promise = wait.promise()
  expect([wait.settle(), wait.settle()]).toEqual([true, false])
  expect(await promise).toBe(CONTINUE)
})
