/** The life of a gRPC plugin with a real process behind it: started, asked, lost, stopped. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createGrpcPlugin } from '../../../src/plugins/grpc/plugin.ts'
import type { Plugin, PluginSpec, PluginState } from '../../../src/plugins/plugin.ts'
import { buildGuardPlugin, buildTypescriptPlugin } from '../../fixtures/grpc/build.ts'
import {
  carriedOf,
  Folder,
  KeptLog,
  query,
  sessionOf,
  specOf,
  surroundingsOf,
} from '../../fixtures/grpc/surroundings.ts'

// Processes are started, on machines that have other things to do.
setDefaultTimeout(60_000)

const DEBUG = 20
const folder = new Folder()
const plugins: Plugin[] = []
let log = new KeptLog()
let scripted = ''

beforeAll(async () => {
  scripted = await buildTypescriptPlugin()
}, 120_000)
afterEach(async () => {
  await Promise.all(plugins.splice(0).map((plugin) => plugin.stop()))
})
afterAll(() => folder.remove())

function plugin(otherwise: Partial<PluginSpec> = {}, path = scripted): Plugin {
  log = new KeptLog()
  const made = createGrpcPlugin(specOf(path, otherwise), surroundingsOf(log, folder))
  plugins.push(made)
  return made
}

async function started(otherwise: Partial<PluginSpec> = {}, path = scripted): Promise<Plugin> {
  const made = plugin(otherwise, path)
  await made.start()
  return made
}

/** What the plugin decides about a statement. */
async function decide(on: Plugin, sql: string, carried = carriedOf()) {
  return await on.steps.onTrafficFromClient?.decide(sessionOf(), query(sql), carried)
}

/** Settles when the plugin reports this state. */
function reported(by: Plugin, state: PluginState): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  by.onStateChange = (next) => {
    if (next === state) resolve()
  }
  return promise
}

function isAlive(pid: number | null): boolean {
  return pid !== null && existsSync(`/proc/${pid}`)
}

describe('a start', () => {
  test('makes a plugin ready, with its manifest and its steps', async () => {
    const made = plugin({ env: ['HOOKS=16,18,14,22,1000', 'METRICS_SOCKET=/tmp/m.sock'] })
    expect(made.status()).toMatchObject({ state: 'stopped', pid: null, checksum: '' })
    const starting = made.start()
    expect(made.start()).toBe(starting)
    await starting
    expect(made.manifest).toMatchObject({
      name: 'tried',
      version: '0.1.0',
      hooks: ['onTrafficFromClient', 'onTrafficFromServer', 'onClosed'],
      metricsSocket: '/tmp/m.sock',
    })
    expect(Object.keys(made.steps.observers)).toEqual(['onClosed'])
    const status = made.status()
    expect(status).toMatchObject({ name: 'tried', state: 'ready', runtime: 'grpc', lastError: '' })
    expect(isAlive(status.pid)).toBe(true)
    expect(log.messages(DEBUG).filter((text) => text.includes('which is no hook'))).toHaveLength(2)
  })

  test("takes the plugin's own name where the entry has none", async () => {
    const made = await started({ name: null, env: ['NAME=self-named'] })
    expect(made.name).toBe('self-named')
    expect(made.steps.onTrafficFromClient?.plugin).toBe('self-named')
  })

  test('with the right checksum needs no --dev', async () => {
    const first = await started()
    const { checksum } = first.status()
    const strict = createGrpcPlugin(
      specOf(scripted, { checksum }),
      surroundingsOf(log, folder, false),
    )
    plugins.push(strict)
    await strict.start()
    expect(strict.status().state).toBe('ready')
  })

  test('that fails leaves a plugin that says why and fails at once', async () => {
    const made = plugin({ checksum: 'a'.repeat(64), env: ['HOOKS=16'] }, '/nowhere/plugin')
    await expect(made.start()).rejects.toThrow('plugin tried: /nowhere/plugin does not exist')
    expect(made.status()).toMatchObject({ state: 'broken', nextTryInMs: null })
    expect(made.status().lastError).toContain('does not exist')
    expect(made.steps).toEqual({ observers: {} })
  })
})

describe('what the plugin answers', () => {
  const TERMINATED = {
    kind: 'deny',
    code: '42000',
    message: 'Request terminated',
    detail: 'Policy terminated the request',
  }

  test('at each hook becomes what happens', async () => {
    const made = await started({
      env: ['OPENING=terminate', 'CONFIG=a.b=2', 'ADDRESS=:1', 'BLOCK=replica'],
    })
    expect(await decide(made, 'select 1')).toEqual({ kind: 'continue' })
    expect(await decide(made, '/*deny*/')).toEqual(TERMINATED as never)
    expect(await decide(made, '/*respond*/')).toMatchObject({ kind: 'respond' })
    expect(await decide(made, '/*close*/')).toEqual({ kind: 'close' })
    expect(await decide(made, '/*refuse*/')).toMatchObject({ kind: 'close' })
    expect(await decide(made, '/*route*/')).toEqual({ kind: 'route', block: 'replica' })
    expect(await decide(made, "/*replace*/ select 'original'")).toEqual({
      kind: 'replace',
      bytes: query("/*replace*/ select 'replaced'"),
    })
    expect(await decide(made, '/*error*/')).toEqual({
      kind: 'failure',
      cause: 'it reports: the plugin is not well',
    })
    expect(await decide(made, '/*fail*/')).toMatchObject({
      kind: 'failure',
      cause: 'OnTrafficFromClient failed: INTERNAL: Error: failed as it was told to',
    })
    const fromServer = (text: string) =>
      made.steps.onTrafficFromServer?.decide(sessionOf(), query(text), carriedOf())
    expect(await fromServer('rewrite me')).toEqual({ kind: 'replace', bytes: query('rewritten!') })
    expect(await fromServer('deny reply')).toEqual(TERMINATED as never)
    expect(await made.steps.onOpening?.decide(sessionOf())).toMatchObject({ kind: 'close' })
    expect(await made.steps.onConfigLoaded?.decide({ 'a.b': '1', c: true })).toEqual({
      kind: 'merge',
      changes: { 'a.b': '2' },
    })
    expect(await made.steps.onRun?.decide({ address: ':0' })).toEqual({
      kind: 'merge',
      changes: { address: ':1' },
    })
    expect(made.status()).toMatchObject({ calls: 14, failures: 2 })
    expect(made.status().callMicros).toBeGreaterThan(0)
  })

  test('travels from plugin to plugin', async () => {
    const file = `${folder.path}/calls`
    const first = await started({ env: ['FIELD=seen=by the first'] })
    const second = await started({ name: 'second', env: [`RECORD_FILE=${file}`] })
    const carried = carriedOf()
    await decide(first, 'select 1', carried)
    await decide(second, 'select 1', carried)
    const last = readFileSync(file, 'utf8').trim().split('\n').at(-1) ?? ''
    expect(JSON.parse(last)).toMatchObject({
      method: 'OnTrafficFromClient',
      params: {
        seen: 'by the first',
        error: '',
        client: { remote: '127.0.0.1:50001' },
        request: { bytes: 'Q\0\0\0\rselect 1\0' },
      },
    })
  })

  test('to an observer is heard, and refused where it decides', async () => {
    const made = await started()
    const observer = made.steps.observers.onTrafficToServer
    const event = { session: sessionOf(), bytes: query('select 1'), request: null, params: {} }
    expect(await observer?.tell(event)).toBe(true)
    expect(await observer?.tell({ ...event, bytes: query('/*meddle*/') })).toBe(false)
    expect(made.status()).toMatchObject({ calls: 2, failures: 1 })
  })
})

describe('what the plugin prints', () => {
  test('however much of it does not block it, and is logged', async () => {
    const made = await started({ env: ['OUTPUT=through the stream\n'] })
    expect(await decide(made, '/*shout*/')).toEqual({ kind: 'continue' })
    for (const letter of ['e', 'o']) {
      const record = await log.find((each) => each.msg === letter.repeat(1023))
      expect(record).toMatchObject({ level: DEBUG, plugin: 'tried' })
    }
    await log.find((each) => each.msg === 'through the stream')
    const said = await log.find((each) => each.msg === 'plugin is listening')
    expect(said.fields).toHaveProperty('socket')
  })

  test('as a log signal is logged under its own name', async () => {
    const made = await started()
    await decide(made, '/*log*/')
    const record = await log.find((each) => each.msg === 'seen by the plugin')
    expect(record).toEqual({
      level: 40,
      plugin: 'tried',
      fields: { count: 1 },
      msg: 'seen by the plugin',
    })
  })
})

describe('a plugin that', () => {
  test('is slow fails that call, answers the ping, and stays', async () => {
    const made = await started({ timeoutMs: 300, env: ['HOOKS=16'] })
    const slow = await decide(made, '/*slow*/')
    expect(slow).toEqual({
      kind: 'failure',
      cause: 'OnTrafficFromClient was not answered in 300 ms',
    })
    expect(await decide(made, 'select 1')).toEqual({ kind: 'continue' })
    expect(made.status().state).toBe('ready')
  })

  test('crashes fails its calls in flight at once, says so, and is started again', async () => {
    const made = await started({ timeoutMs: 60_000 })
    const { steps } = made
    const before = made.status()
    const inFlight = decide(made, '/*slow*/')
    const failing = reported(made, 'failing')
    const crashing = decide(made, '/*crash*/')
    const cause = 'the process ended with code 7'
    // The dropped connection may be noticed a moment before the end of the process.
    const either = /the process ended with code 7|UNAVAILABLE: /
    for (const verdict of [await crashing, await inFlight]) {
      expect(verdict).toMatchObject({ kind: 'failure', cause: expect.stringMatching(either) })
    }
    await failing
    const ready = reported(made, 'ready')
    expect(made.status()).toMatchObject({ state: 'restarting', lastError: cause, restarts: 1 })
    expect(made.steps.onTrafficFromClient?.decide(sessionOf(), query(''), carriedOf())).toEqual({
      kind: 'failure',
      cause: `OnTrafficFromClient: the plugin has failed: ${cause}; it is being restarted`,
    })
    await ready
    const after = made.status()
    expect(after).toMatchObject({ state: 'ready', restarts: 1, priority: before.priority })
    expect(after.lastError).toContain(cause)
    expect(after.pid).not.toBe(before.pid)
    expect(isAlive(before.pid)).toBe(false)
    expect(made.steps).toBe(steps)
    expect(await decide(made, 'select 1')).toEqual({ kind: 'continue' })
  })

  test('crashes where nothing is reloaded stays so, until it is started', async () => {
    const made = await started({ reloadOnCrash: false })
    const failing = reported(made, 'failing')
    await decide(made, '/*crash*/')
    await failing
    expect(made.status()).toMatchObject({ state: 'failing', restarts: 0, nextTryInMs: null })
    expect(await decide(made, 'select 1')).toEqual({
      kind: 'failure',
      cause: 'OnTrafficFromClient: the plugin has failed: the process ended with code 7',
    })
    await made.start()
    expect(made.status().state).toBe('ready')
    expect(await decide(made, 'select 1')).toEqual({ kind: 'continue' })
  })

  test('hangs is pinged, given up, killed and started again', async () => {
    const made = await started({ timeoutMs: 300 })
    const { pid } = made.status()
    const failing = reported(made, 'failing')
    expect(await decide(made, '/*hang*/')).toMatchObject({ kind: 'failure' })
    await failing
    expect(made.status().lastError).toContain('it answers neither calls nor pings')
    await reported(made, 'ready')
    expect(isAlive(pid)).toBe(false)
    expect(await decide(made, 'select 1')).toEqual({ kind: 'continue' })
  })

  test('answers a check stays; one that does not is started again', async () => {
    const made = await started()
    await made.check?.(5000)
    expect(made.status()).toMatchObject({ state: 'ready', restarts: 0 })
    const { pid } = made.status()
    process.kill(pid!, 'SIGSTOP')
    const ready = reported(made, 'ready')
    await made.check?.(200)
    expect(made.status().lastError).toBe('it does not answer a ping (200 ms)')
    await ready
    expect(isAlive(pid)).toBe(false)
    expect(made.status()).toMatchObject({ state: 'ready', restarts: 1 })
    await made.stop()
    await made.check?.(200)
    expect(made.status().state).toBe('stopped')
  })

  test('fails leaves its last lines on standard error in its status and in the log', async () => {
    const made = await started()
    expect(made.status().lastLines).toEqual([])
    const ready = reported(made, 'ready')
    await decide(made, '/*moan*/')
    const quoted = await log.find(({ msg }) => msg.startsWith('what the failed plugin printed'))
    await ready
    expect(made.status().lastLines).toHaveLength(20)
    expect(made.status().lastLines.at(-1)).toBe('"moan 30"')
    expect(quoted).toMatchObject({ level: 50, plugin: 'tried' })
    expect(JSON.stringify(quoted)).toContain('moan 30')
  })
})

describe('a stop', () => {
  test('leaves no process and no socket, and may be asked for again', async () => {
    const made = await started()
    const { pid } = made.status()
    expect(readdirSync(folder.path).some((name) => name.startsWith('p-'))).toBe(true)
    await Promise.all([made.stop(), made.stop()])
    await made.stop()
    expect(isAlive(pid)).toBe(false)
    expect(made.status()).toMatchObject({ state: 'stopped', pid: null, restarts: 0 })
    expect(await decide(made, 'select 1')).toMatchObject({ kind: 'failure' })
    expect(readdirSync(folder.path).some((name) => name.startsWith('p-'))).toBe(false)
  })

  test('before a start does nothing, and a start behind it works', async () => {
    const made = plugin()
    await made.stop()
    await made.start()
    expect(made.status().state).toBe('ready')
  })

  test('during a start breaks it off', async () => {
    const made = plugin({}, folder.script('sleeper', '#!/bin/sh\nexec sleep 60\n'))
    const attempt = made.start()
    const stopped = made.stop()
    await expect(attempt).rejects.toThrow('plugin tried: its start was broken off by a stop')
    await stopped
    expect(made.status()).toMatchObject({ state: 'stopped', pid: null })
  })

  test('while a start waits for another stop holds', async () => {
    const made = await started()
    const first = made.stop()
    const attempt = made.start()
    const second = made.stop()
    await expect(attempt).rejects.toThrow('broken off by a stop')
    await Promise.all([first, second])
    expect(made.status()).toMatchObject({ state: 'stopped', pid: null })
  })
})

test('the example plugin refuses to drop and empty tables, and nothing else', async () => {
  const guard = await started({ name: 'guard' }, await buildGuardPlugin())
  for (const sql of ['drop table t', 'DROP  TABLE IF EXISTS t', 'begin; truncate t']) {
    expect(await decide(guard, sql)).toMatchObject({ kind: 'deny', code: '42000' })
  }
  for (const sql of ['select 1', 'drop index i', "select 'droptable'"]) {
    expect(await decide(guard, sql)).toEqual({ kind: 'continue' })
  }
  const params = { session: sessionOf(), bytes: null, request: null, params: {} }
  expect(await guard.steps.observers.onClosed?.tell(params)).toBe(true)
  const left = await log.find((record) => record.msg === 'a client has left')
  expect(left.fields).toMatchObject({ client: '127.0.0.1:50001', seen: 6, refused: 3 })
}, 120_000)
