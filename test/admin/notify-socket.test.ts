import { describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openNotifySocket } from '../../src/admin/notify-socket.ts'
import { HAS_PYTHON, listenForNotices } from '../kit/notify-listener.ts'

const folder = (): { readonly path: string; [Symbol.dispose](): void } => {
  const path = mkdtempSync(join(tmpdir(), 'notify-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) }
}

describe.skipIf(!HAS_PYTHON)('messages arrive (needs Python)', () => {
  test('at a path, and at a name that is no file', async () => {
    using scratch = folder()
    for (const name of [join(scratch.path, 'notify'), `@postern-test-${process.pid}`]) {
      await using listener = await listenForNotices(name)
      const socket = await openNotifySocket(name)
      expect(socket.send('READY=1\nSTATUS=für alle')).toBeTrue()
      expect(socket.send('STOPPING=1')).toBeTrue()
      await listener.hears('STOPPING=1')
      expect(listener.heard()).toEqual(['READY=1', 'STATUS=für alle', 'STOPPING=1'])
      socket.close()
      socket.close()
      expect(socket.send('READY=1')).toBeFalse()
    }
  })
})

test('nobody listening, or no room, is no wait and no error', async () => {
  using scratch = folder()
  const socket = await openNotifySocket(join(scratch.path, 'nobody'))
  expect(socket.send('READY=1')).toBeFalse()
  expect(socket.send('x'.repeat(10_000_000))).toBeFalse()
  socket.close()
})

test('the clock is that of the machine, from its start on', async () => {
  const socket = await openNotifySocket('/nobody')
  const before = socket.monotonicMicros()
  const sinceStart = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
  expect(socket.monotonicMicros()).toBeGreaterThanOrEqual(before)
  // Time asleep is in the latter only.
  expect(Number(before) / 1e6).toBeLessThanOrEqual(sinceStart + 1)
  expect(before).toBeGreaterThan(0n)
  socket.close()
})

test('a name of another kind, or too long, is refused', async () => {
  for (const name of ['vsock:2:1234', 'notify', '@', '/']) {
    await expect(openNotifySocket(name)).rejects.toThrow('neither a path nor @ and a name')
  }
  await expect(openNotifySocket(`/${'x'.repeat(107)}`)).rejects.toThrow('longer than 107 bytes')
})
