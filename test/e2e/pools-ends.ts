/** How clients leave, and what must have become of their connections then. */
import { expect } from 'bun:test'
import { message, parse, query } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { metric, until } from '../kit/traffic.ts'
import type { Wire } from '../kit/wire.ts'
import { enter, lent, pidOf } from './pools-scene.ts'

/** What a client does to a connection before it goes, and whether another may have it. */
export const ENDS: readonly (readonly [string, boolean, (wire: Wire) => Promise<void>])[] = [
  ['says farewell', true, (wire) => wire.terminate()],
  ['hangs up', true, async (wire) => wire.destroy()],
  ['half-closes', true, async (wire) => wire.halfClose()],
  [
    'hangs up in a transaction',
    true,
    async (wire) => {
      await wire.query('begin; create table orphan ()')
      wire.destroy()
    },
  ],
  [
    'says farewell in a failed transaction',
    true,
    async (wire) => {
      await wire.query('begin')
      await wire.query('select 1/0')
      await wire.terminate()
    },
  ],
  [
    'half-closes while a query runs',
    true,
    async (wire) => {
      wire.send(query('select pg_sleep(0.2)'))
      wire.halfClose()
    },
  ],
  [
    'is reset while a query runs',
    false,
    async (wire) => {
      wire.send(query('select pg_sleep(5)'))
      await Bun.sleep(50)
      wire.socket.resetAndDestroy()
    },
  ],
  [
    'hangs up in the middle of a message',
    false,
    async (wire) => {
      wire.send(query(`select '${'x'.repeat(100_000)}'`).subarray(0, 70_000))
      await Bun.sleep(50)
      wire.destroy()
    },
  ],
  [
    'hangs up while it copies in',
    false,
    async (wire) => {
      await wire.query('create table if not exists copied (line text)')
      wire.send(query('copy copied from stdin'))
      await wire.expect('CopyInResponse')
      wire.destroy()
    },
  ],
  [
    'half-closes within a pipeline',
    false,
    async (wire) => {
      wire.send(parse({ sql: 'select 1' }))
      wire.halfClose()
    },
  ],
  [
    'hangs up in a pipeline without its end',
    false,
    async (wire) => {
      wire.send(parse({ sql: 'select 1' }), message('H'))
      await wire.expect('ParseComplete')
      wire.destroy()
    },
  ],
]

/** A client that comes, does that, and another one after it, which finds nothing of the first. */
export async function mustLeaveClean(
  gateway: RunningGateway,
  same: boolean,
  end: (wire: Wire) => Promise<void>,
): Promise<void> {
  const wire = await enter(gateway)
  const pid = await pidOf(wire)
  await end(wire)
  await until('it has left', async () => (await metric(gateway, 'postern_sessions_open')) === 0)
  await until('it is settled', async () => (await lent(gateway)) === 0)
  wire.destroy()
  const next = await enter(gateway)
  expect((await pidOf(next)) === pid).toBe(same)
  expect(await next.rows("select to_regclass('orphan')")).toEqual([[null]])
  expect(await next.rows('select 1')).toEqual([['1']])
  await next.terminate()
}
