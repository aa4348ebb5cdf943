/** Where file descriptors run out, newcomers are told, and whoever is there already goes on. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mustRun } from '../../kit/command.ts'
import type { RunningGateway } from '../../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../../kit/postgres.ts'
import { metric, startBefore, until } from '../../kit/traffic.ts'
import { connectWire, openSession, type Wire } from '../../kit/wire.ts'
import { descriptorsOf, mustBeUnharmed, processorMsOf, weigh } from './scene.ts'

setDefaultTimeout(60_000)

const FILES_MAX = 64
const CROWD = 100
const WATCHED_MS = 500
const REFUSED = `53300: too many clients already (the gateway may open ${FILES_MAX} files)`

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

const at = (gateway: RunningGateway) => ({ ...server, port: gateway.port })

/** Sessions, until one is refused; and why it was. */
async function fill(gateway: RunningGateway): Promise<{ wires: Wire[]; refusal: string }> {
  const wires: Wire[] = []
  for (let count = 0; count < CROWD; count++) {
    try {
      wires.push(await openSession(at(gateway)))
    } catch (error) {
      return { wires, refusal: String(error) }
    }
  }
  return { wires, refusal: '' }
}

/** The gateway has next to nothing to do: it does not spin over clients that it cannot take. */
async function isCalm(gateway: RunningGateway): Promise<void> {
  const before = processorMsOf(gateway.pid)
  await Bun.sleep(WATCHED_MS)
  expect(processorMsOf(gateway.pid) - before).toBeLessThan(WATCHED_MS / 2)
}

describe(`with ${FILES_MAX} open files at most`, () => {
  const under = ['sh', '-c', `ulimit -n ${FILES_MAX}; exec "$0" "$@"`]

  test('who would take the last is refused, others go on, and room is used again', async () => {
    await using gateway = await startBefore(server, { under })
    const before = await weigh(gateway)
    const { wires, refusal } = await fill(gateway)
    expect(wires.length).toBeGreaterThan(10)
    expect(refusal).toContain(REFUSED)
    await gateway.logged('this process may not open enough files for sessionsMax')
    expect(await metric(gateway, 'postern_sessions_refused_total')).toBe(1)
    expect(descriptorsOf(gateway.pid)).toBeLessThan(FILES_MAX)
    for (const [number, wire] of wires.entries()) {
      expect(await wire.rows(`select ${number}`)).toEqual([[String(number)]])
    }
    await wires.pop()?.terminate()
    using next = await openSession(at(gateway))
    expect(await next.rows('select 1')).toEqual([['1']])
    for (const wire of [next, ...wires]) wire.destroy()
    await mustBeUnharmed(gateway, before)
  })

  test('a crowd that says nothing costs no processor, and is gone when it leaves', async () => {
    await using gateway = await startBefore(server, { under })
    const before = await weigh(gateway)
    const served = await openSession(at(gateway))
    // Those for whom there is not even room to be told are reset.
    const tried = Array.from({ length: CROWD }, () => connectWire(gateway).catch(() => null))
    const crowd = await Promise.all(tried)
    await until(
      'all of them are taken or refused',
      async () =>
        (await metric(gateway, 'postern_sessions_total')) +
          (await metric(gateway, 'postern_sessions_refused_total')) >
        CROWD,
    )
    await isCalm(gateway)
    expect(await served.rows('select 1')).toEqual([['1']])
    for (const wire of [served, ...crowd]) wire?.destroy()
    await mustBeUnharmed(gateway, before)
    using later = await openSession(at(gateway))
    expect(await later.rows('select 2')).toEqual([['2']])
  })
})

test.skipIf(Bun.which('prlimit') === null)(
  'where not one is left, sessions go on and the metrics are told (needs prlimit)',
  async () => {
    await using gateway = await startBefore(server)
    const before = await weigh(gateway)
    const session = await openSession(at(gateway))
    expect(await metric(gateway, 'postern_sessions_open')).toBe(1)
    const open = descriptorsOf(gateway.pid)
    const limit = (files: number) =>
      mustRun(['prlimit', `--pid=${gateway.pid}`, `--nofile=${files}:`])
    await limit(open)
    try {
      expect(await session.rows('select 1')).toEqual([['1']])
      expect(await metric(gateway, 'postern_sessions_open')).toBe(1)
      expect(await metric(gateway, 'process_resident_memory_bytes')).toBeNaN()
    } finally {
      await limit(1024)
    }
    session.destroy()
    await mustBeUnharmed(gateway, before)
  },
)
