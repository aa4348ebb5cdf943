import { expect, test } from 'bun:test'
import { Descriptors, processDescriptors } from '../../src/tcp/descriptors.ts'
import { startService } from '../kit/service.ts'
import { connectWire } from '../kit/wire.ts'
import { inTime, startFakeServer } from './fake-server.ts'
import { ANN } from './scene.ts'

test('sessions get what is neither open already nor kept for others', () => {
  expect(new Descriptors({ max: 64, open: 10 }).sessionsMax).toBe(19)
  expect(new Descriptors({ max: 20_000, open: 10 }).sessionsMax).toBe(9_931)
})

test('a limit that leaves nothing still permits one session, and no limit permits any', () => {
  expect(new Descriptors({ max: 12, open: 20 }).sessionsMax).toBe(1)
  const boundless = new Descriptors({ max: Number.POSITIVE_INFINITY, open: 0 })
  expect(boundless.sessionsMax).toBe(Number.POSITIVE_INFINITY)
  expect(boundless.takeForSession()).toBe(true)
})

test('what is taken is given back, and the refused have room of their own', () => {
  const descriptors = new Descriptors({ max: 8, open: 2 })
  expect([descriptors.takeForSession(), descriptors.takeForSession()]).toEqual([true, true])
  expect(descriptors.takeForSession()).toBe(false)
  expect(descriptors.takeForRefused()).toBe(true)
  expect(descriptors.takeForRefused()).toBe(false)
  descriptors.refusedEnded()
  expect(descriptors.takeForRefused()).toBe(true)
  descriptors.sessionEnded()
  descriptors.refusedEnded()
  expect(descriptors.takeForSession()).toBe(true)
})

test('connections that a pool keeps leave less for sessions', () => {
  const descriptors = new Descriptors({ max: 1000, open: 0 })
  for (let kept = 0; kept < descriptors.sessionsMax * 2 - 1; kept++) descriptors.keptOpened()
  expect(descriptors.takeForSession()).toBeFalse()
  descriptors.keptClosed()
  expect(descriptors.takeForSession()).toBeTrue()
})

test('the limit of this process is known', () => {
  expect(processDescriptors().max).toBeGreaterThan(0)
  expect(processDescriptors()).toBe(processDescriptors())
})

test('a client that would take the last ones is refused, and one is let in later', async () => {
  await using server = await startFakeServer()
  const descriptors = new Descriptors({ max: 8, open: 4 })
  await using service = startService({ upstreams: [server.port], descriptors })
  const at = { host: '127.0.0.1', port: service.port }
  const first = await connectWire(at)
  first.send(ANN)
  const end = await server.next()
  await end.read(ANN.length)
  const refused = await connectWire(at)
  refused.send(ANN)
  expect(await refused.expect('ErrorResponse')).toMatchObject({
    code: '53300',
    message: 'too many clients already (the gateway may open 8 files)',
    hint: expect.stringContaining('LimitNOFILE'),
  })
  await refused.closed()
  refused.destroy()
  first.destroy()
  await end.ended
  end.socket.destroy()
  using later = await connectWire(at)
  later.send(ANN)
  const next = await server.next()
  expect(await inTime('the login of the next client', next.read(ANN.length))).toEqual(
    Buffer.from(ANN),
  )
  expect(service.account.sessionsRefused).toBe(1)
})
