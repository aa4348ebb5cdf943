/** The audit plugin: how statements and connections end, and what its options leave out. */
import { describe, expect, setSystemTime, test } from 'bun:test'
import { createWasmPlugin } from '../../../src/plugins/wasm/plugin.ts'
import { makeScene, makeSession, makeSpec, modulePath, query } from '../../fixtures/wasm/kit.ts'
import { beginAudit, PluginTalk, says } from '../../fixtures/wasm/talk.ts'
import { bind, concat, describe as describes, execute, parse, sync } from '../../kit/frontend.ts'

describe('how it ended', () => {
  test('is told for each statement of a Query, with its rows', async () => {
    const own = await beginAudit({})
    own.run(
      query('insert into t values (1); select 1; select x; select 2'),
      says.complete('INSERT 0 5'),
      says.complete('SELECT 2'),
      says.error('42703', 'column "x" does not exist'),
    )
    expect(own.statements()).toMatchObject([
      { kind: 'INSERT', outcome: 'done', rows: 5 },
      { outcome: 'done', rows: 2 },
      { outcome: 'failed', error: '42703' },
      { outcome: 'skipped' },
    ])
    const recorded = own.talk.scene.recorded.map(({ id, labels }) => `${id} ${labels.join()}`)
    expect(recorded).toEqual(expect.arrayContaining(['1 INSERT', '2 SELECT', '3 42']))
  })

  test('is told with the time that it took', async () => {
    setSystemTime(new Date(1_000_000))
    const own = await beginAudit({})
    own.talk.send(own.of, query('select 1'))
    setSystemTime(new Date(1_001_250))
    own.talk.reply(own.of, says.complete('SELECT 1'), says.ready())
    setSystemTime()
    expect(own.statements()).toMatchObject([{ durationMs: 1250 }])
    const seconds = own.talk.scene.recorded.find(({ id }) => id === 1)
    expect(seconds).toEqual({ id: 1, value: 1.25, labels: ['SELECT'] })
  })

  test('in a pipeline is told once a statement: failed, or skipped behind it', async () => {
    const own = await beginAudit({})
    const prepared = (sql: string) => [parse({ sql }), bind(), describes(), execute()]
    own.talk.send(own.of, ...prepared('select a'), ...prepared('select b'), ...prepared('select c'))
    own.talk.send(own.of, sync())
    const done = [says.parsed(), says.bound(), says.noColumns(), says.complete('SELECT 1')]
    own.talk.reply(own.of, ...done, says.error('42601', 'no'), says.ready())
    const outcomes = own.statements().map(({ statement, outcome }) => [statement, outcome])
    expect(outcomes).toEqual([
      ['select a', 'done'],
      ['select b', 'failed'],
      ['select c', 'skipped'],
    ])
  })

  test('is refused where something else has answered; the next is itself again', async () => {
    const own = await beginAudit({})
    own.talk.offer(own.of, query('drop table t'))
    own.talk.offer(own.of, parse({ sql: 'drop table u' }), bind(), execute(), sync())
    own.talk.offer(own.of, parse({ sql: 'drop table v' }), describes('statement'))
    own.run(query('select 1'), says.complete('SELECT 1'))
    expect(own.statements()).toMatchObject([
      { kind: 'DROP', tables: ['t'], outcome: 'refused' },
      { kind: 'DROP', tables: ['u'], outcome: 'refused' },
      { kind: 'DROP', tables: ['v'], outcome: 'refused' },
      { kind: 'SELECT', outcome: 'done', rows: 1 },
    ])
  })

  test('is not known where the connection ends before', async () => {
    const own = await beginAudit({})
    own.talk.send(own.of, query('select pg_sleep(9)'))
    own.talk.closed(own.of)
    expect(own.statements()).toMatchObject([{ outcome: 'unfinished' }])
  })
})

describe('connections', () => {
  test('are told when they open and close', async () => {
    const own = await beginAudit({})
    own.run(query('select 1'), says.complete('SELECT 1'))
    own.talk.closed(own.of)
    expect(own.talk.scene.lines.filter(({ msg }) => msg?.startsWith('connection'))).toMatchObject([
      { msg: 'connection opened', fields: { user: 'alice', database: 'shop' } },
      { msg: 'connection closed', fields: { statements: 1, errors: 0, user: 'alice' } },
    ])
  })

  test('that are not let in are told with the reason', async () => {
    const own = await PluginTalk.start('audit')
    own.reply(makeSession(), says.error('28P01', 'password authentication failed'))
    expect(own.scene.lines.at(-1)).toMatchObject({
      msg: 'login failed',
      fields: { error: '28P01', user: 'alice', client: '127.0.0.1:50000' },
    })
    expect(own.scene.recorded).toEqual([{ id: 5, value: 1, labels: ['28'] }])
  })
})

describe('options', () => {
  test('level is that of the lines', async () => {
    for (const [level, number] of [
      ['trace', 10],
      ['debug', 20],
      ['warn', 40],
      ['error', 50],
    ] as const) {
      const own = await beginAudit({ level })
      own.run(query('select 1'))
      expect(own.talk.scene.lines.at(-1)).toMatchObject({ level: number, msg: 'statement' })
    }
  })

  test('level off counts and writes nothing', async () => {
    const own = await beginAudit({ level: 'off' })
    const before = own.talk.scene.lines.length
    own.run(query('select 1; select x'), says.complete('SELECT 1'), says.error('42703', 'no'))
    own.talk.closed(own.of)
    expect(own.talk.scene.lines).toHaveLength(before)
    expect(own.talk.scene.recorded.filter(({ id }) => id === 0)).toHaveLength(2)
  })

  test('a level that the gateway does not write is counted only', async () => {
    const own = await beginAudit({ level: 'info' })
    const { log } = own.talk.scene.surroundings
    const before = own.talk.scene.lines.length
    log.level = 'warn'
    own.run(query('select 1'), says.complete('SELECT 1'))
    log.level = 'trace'
    own.run(query('select 2'), says.complete('SELECT 1'))
    expect(own.talk.scene.lines.slice(before)).toHaveLength(1)
    expect(own.talk.scene.recorded.filter(({ id }) => id === 0)).toHaveLength(2)
  })

  test('another level is refused', async () => {
    const plugin = createWasmPlugin(
      makeSpec(modulePath('audit'), { config: { level: 'loud' } }),
      makeScene().surroundings,
    )
    await expect(plugin.start()).rejects.toThrow('config.level')
  })

  test('minDuration and sample leave out what is done, and never what fails', async () => {
    for (const config of [{ minDuration: 1000 }, { sample: 0 }]) {
      const own = await beginAudit(config)
      own.run(query('select 1'), says.complete('SELECT 1'))
      own.run(query('select x'), says.error('42703', 'no'))
      expect(own.statements()).toMatchObject([{ outcome: 'failed' }])
    }
  })

  test('parameters and errorMessages tell what is secret otherwise', async () => {
    const own = await beginAudit({ parameters: true, errorMessages: true })
    const values = ['plain', null, new Uint8Array([0, 255])]
    own.run(
      concat(parse({ sql: 'select $1' }), bind({ values, formats: [0, 0, 1] }), execute(), sync()),
      says.parsed(),
      says.bound(),
      says.error('22P02', 'invalid: "plain"'),
    )
    expect(own.statements()).toMatchObject([
      { parameters: ['plain', null, '\\x00ff'], errorMessage: 'invalid: "plain"' },
    ])
  })
})
