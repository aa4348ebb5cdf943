/**
 * gRPC plugins that stop answering: what waits for them waits once, nothing else waits at all, and
 * they are found out, also when nobody asks them. A gateway that was away itself blames nobody.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { query } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { until } from '../kit/traffic.ts'
import {
  buildPlugins,
  entryOf,
  exchange,
  type Listed,
  listed,
  login,
  scripted,
  startWith,
} from './plugins-scene.ts'

let postgres: PostgresServer
beforeAll(async () => {
  await buildPlugins()
  postgres = await startPostgres()
}, 120_000)
afterAll(() => postgres.stop())

const ROW = (value: string) => ['RowDescription', `row ${value}`, 'SELECT 1', 'ready I']
/** Longer than anything here takes, also on a machine that has other things to do. */
const LONG = '20s'

async function statusOf(gateway: RunningGateway, name: string): Promise<Listed> {
  const found = (await listed(gateway)).find((plugin) => plugin.name === name)
  if (found === undefined) throw new Error(`no plugin ${name}`)
  return found
}

async function stop(gateway: RunningGateway, name: string): Promise<void> {
  process.kill((await statusOf(gateway, name)).pid!, 'SIGSTOP')
}

async function took(work: Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work
  return performance.now() - startedAt
}

describe('a plugin that is stopped (SIGSTOP)', () => {
  test('and observes the stop does not keep the gateway from stopping', async () => {
    // onSignal and onShutdown, besides the queries that it decides about.
    const plugins = [scripted({ HOOKS: '7,16,20' }, { timeout: '1m' })]
    const file = { reloadOnCrash: false, healthCheckPeriod: '1h' }
    await using gateway = await startWith(postgres, { plugins, file })
    await stop(gateway, 'scripted')
    const stoppedMs = await took(gateway.stop().then((end) => expect(end.status).toBe(0)))
    expect(stoppedMs).toBeLessThan(25_000)
    expect(gateway.log()).toContain('was not told of the signal within')
  }, 60_000)

  test('delays each session once, by its timeout and a ping, and then nobody', async () => {
    const [timeoutMs, pingMs] = [1000, 1000]
    const plugins = [scripted({}, { timeout: `${timeoutMs}ms` }), entryOf('verdicts.wasm')]
    const file = { reloadOnCrash: false, healthCheckPeriod: '1h' }
    await using gateway = await startWith(postgres, { plugins, file })
    const wires = await Promise.all(Array.from({ length: 8 }, () => login(gateway, postgres)))
    const ask = (sql: string) => Promise.all(wires.map((wire) => exchange(wire, [query(sql)], 1)))
    await stop(gateway, 'scripted')
    const delayMs = await took(
      ask('select 1').then((replies) => expect(replies).toEqual(wires.map(() => ROW('1')))),
    )
    expect(delayMs).toBeGreaterThanOrEqual(timeoutMs - 10)
    expect(delayMs).toBeLessThan(2 * (timeoutMs + pingMs))
    await until('it is found out', async () => {
      return (await statusOf(gateway, 'scripted')).state === 'failing'
    })
    // It is away, the others judge, and nobody waits: 8 sessions, a new one, 11 statements each.
    const laterMs = await took(
      (async () => {
        for (let round = 0; round < 10; round++) await ask(`select ${round}`)
        const denied = await ask('select 1 /*deny*/')
        for (const [first] of denied) expect(first).toStartWith('ERROR 42501 denied by verdicts')
        using late = await login(gateway, postgres)
        expect(await exchange(late, [query('select 2')], 1)).toEqual(ROW('2'))
      })(),
    )
    expect(laterMs).toBeLessThan(10 * timeoutMs)
    for (const wire of wires) wire.destroy()
  })

  test('and only observes delays no query and no connection', async () => {
    // Connections, their ends, and traffic both ways.
    const observer = scripted({ HOOKS: '12,13,14,15,17,19' }, { timeout: LONG })
    const plugins = [observer, entryOf('verdicts.wasm')]
    const file = { healthCheckPeriod: '1h' }
    await using gateway = await startWith(postgres, { plugins, file })
    using early = await login(gateway, postgres)
    await stop(gateway, 'scripted')
    for (let round = 0; round < 20; round++) {
      using late = await login(gateway, postgres)
      for (const wire of [early, late]) {
        expect(await exchange(wire, [query(`select ${round}`)], 1)).toEqual(ROW(`${round}`))
        const [denied] = await exchange(wire, [query('select 1 /*deny*/')], 1)
        expect(denied).toStartWith('ERROR 42501 denied by verdicts')
      }
    }
    // It has not even been late yet.
    const { pid, ...status } = await statusOf(gateway, 'scripted')
    expect(status).toMatchObject({ state: 'ready', lastError: '' })
    // The end of the gateway would wait for it: it has still to be told of all that.
    process.kill(pid!, 'SIGKILL')
  })

  test('is found out by a ping though nobody asks it, and left alone if wished', async () => {
    const file = { healthCheckPeriod: '200ms', reloadOnCrash: false }
    const plugins = [scripted(), scripted({}, { name: 'sound' })]
    await using gateway = await startWith(postgres, { plugins, file })
    const { pid } = await statusOf(gateway, 'scripted')
    await stop(gateway, 'scripted')
    await gateway.logged('it does not answer a ping (200 ms); it stays so: reloadOnCrash is false')
    await until('its process is gone', () => {
      try {
        return !process.kill(pid!, 0)
      } catch {
        return true
      }
    })
    expect(await statusOf(gateway, 'scripted')).toMatchObject({ state: 'failing', restarts: 0 })
    expect(await statusOf(gateway, 'sound')).toMatchObject({ state: 'ready', restarts: 0 })
  })
})

test('plugins keep their order over restarts, whichever is restarted', async () => {
  const tagged = (name: string) => scripted({ TAG: name }, { name })
  const plugins = ['a', 'b', 'c'].map(tagged)
  await using gateway = await startWith(postgres, { plugins })
  using wire = await login(gateway, postgres)
  // What goes to the server passes all three, and so does what comes back.
  const trail = async () => (await exchange(wire, [query("select 'trail[......]'")], 1))[1]
  expect(await trail()).toBe('row trail[abcabc]')
  for (const name of ['b', 'a', 'c']) {
    const before = await statusOf(gateway, name)
    process.kill(before.pid!, 'SIGKILL')
    await until(`${name} is back`, async () => {
      const { state, restarts } = await statusOf(gateway, name)
      return state === 'ready' && restarts === before.restarts + 1
    })
    expect((await statusOf(gateway, name)).priority).toBe(before.priority)
    expect(await trail()).toBe('row trail[abcabc]')
  }
})

test('a gateway that was stopped itself takes no plugin for lost', async () => {
  const file = { healthCheckPeriod: '100ms' }
  await using gateway = await startWith(postgres, { plugins: [scripted()], file })
  using wire = await login(gateway, postgres)
  using direct = await login(postgres, postgres)
  const { pid } = await statusOf(gateway, 'scripted')
  for (let round = 0; round < 3; round++) {
    process.kill(gateway.pid, 'SIGSTOP')
    // Much longer than an answer to a ping may take.
    await direct.query('select pg_sleep(0.7)')
    process.kill(gateway.pid, 'SIGCONT')
    expect(await exchange(wire, [query('select 1')], 1)).toEqual(ROW('1'))
  }
  await direct.query('select pg_sleep(1)')
  expect(await statusOf(gateway, 'scripted')).toMatchObject({ state: 'ready', restarts: 0, pid })
})
