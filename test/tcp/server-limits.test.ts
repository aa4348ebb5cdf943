/** How long sessions wait for their server: what `receive…` and `sendDeadline` of a client mean. */
import { afterEach, expect, spyOn, test } from 'bun:test'
import type { ServerPatience } from '../../src/upstream/upstream.ts'
import { copyData, query } from '../kit/frontend.ts'
import { server as says } from '../protocols/postgres/stage.ts'
import { type Ends, type Scene, setScene } from './scene.ts'

const SELECT = query('select 1')
const LIMIT_MS = 60_000
const NONE = { receiveDeadlineMs: 0, receiveTimeoutMs: 0, sendDeadlineMs: 0 }
const realNow = performance.now.bind(performance)

let restore = (): void => {}
afterEach(() => {
  restore()
  restore = () => {}
})

const before = (patience: Partial<ServerPatience>): Promise<Scene> =>
  setScene({ loginTimeoutMs: 1000, dial: { patience: { ...NONE, ...patience } } })

/** Moves the clock on, and waits until sessions have been looked at. */
async function skipTo(ms: number, scene: Scene): Promise<void> {
  const witness = await scene.connect()
  await scene.server.next()
  restore()
  const clock = spyOn(performance, 'now').mockImplementation(() => realNow() + ms)
  restore = () => void clock.mockRestore()
  await witness.expect('ErrorResponse')
}

async function ask({ wire, server }: Ends): Promise<void> {
  wire.send(SELECT)
  await server.read(SELECT.length)
}

test('receiveTimeout ends a session whose reply does not come, and no other', async () => {
  await using scene = await before({ receiveTimeoutMs: LIMIT_MS })
  const asking = await scene.logIn()
  const idle = await scene.logIn()
  const copying = await scene.logIn()
  await ask(copying)
  copying.server.send(says.copyIn())
  await copying.wire.expect('CopyInResponse')
  await ask(asking)
  await skipTo(LIMIT_MS, scene)
  await skipTo(2 * LIMIT_MS, scene)
  expect(await asking.wire.expect('ErrorResponse')).toMatchObject({
    severity: 'FATAL',
    code: '08006',
    message: `the database has not answered for ${LIMIT_MS} ms`,
  })
  await asking.wire.closed()
  await asking.server.ended
  await ask(idle)
  const row = copyData('row')
  copying.wire.send(row)
  await copying.server.read(row.length)
  expect(scene.service.account.receiveTimeouts).toBe(1)
})

test('sendDeadline ends a session whose server takes no bytes', async () => {
  await using scene = await before({ sendDeadlineMs: LIMIT_MS })
  const idle = await scene.logIn()
  const stuck = await scene.logIn()
  stuck.server.socket.pause()
  // More than the kernel keeps for both ends of the connection.
  const flood = query('x'.repeat(16 * 1024 * 1024))
  stuck.wire.send(flood)
  while (scene.service.account.bytesToServer < 1_000_000) await new Promise(setImmediate)
  await skipTo(LIMIT_MS, scene)
  await skipTo(2 * LIMIT_MS, scene)
  await skipTo(3 * LIMIT_MS, scene)
  expect(await stuck.wire.expect('ErrorResponse')).toMatchObject({
    severity: 'FATAL',
    code: '08006',
    message: `the database has taken no bytes for ${LIMIT_MS} ms`,
  })
  await ask(idle)
  expect(scene.service.account).toMatchObject({ sendDeadlines: 1, receiveTimeouts: 0 })
})

test('receiveDeadline ends a session whatever it does', async () => {
  await using scene = await before({ receiveDeadlineMs: LIMIT_MS })
  const asking = await scene.logIn()
  await ask(asking)
  const idle = await scene.logIn()
  await skipTo(LIMIT_MS, scene)
  for (const { wire } of [asking, idle]) {
    expect(await wire.expect('ErrorResponse')).toMatchObject({ severity: 'FATAL', code: '57P05' })
    await wire.closed()
  }
  expect(scene.service.account.receiveDeadlines).toBeGreaterThanOrEqual(2)
})
