/**
 * What stands in deploy/, against the executable: the messages to a service manager, the start in
 * a container whatever its environment says, and alerts that speak of metrics which exist.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { run } from '../kit/command.ts'
import { gatewayBinary, startGateway } from '../kit/gateway.ts'
import { HAS_PYTHON, listenForNotices } from '../kit/notify-listener.ts'

const ROOT = resolve(import.meta.dir, '../..')
const DEPLOY = join(ROOT, 'deploy')
const INSTALLED = '/usr/local/bin/postern'
const NOWHERE = ['--upstream', '127.0.0.1:1']
/** Each of them makes the executable something else, or speaks of it to others. */
const HOSTILE = {
  BUN_BE_BUN: '1',
  BUN_OPTIONS: '--print 1 --preload /nowhere.js',
  BUN_INSPECT: '127.0.0.1:0',
  BUN_JSC_useJIT: 'nonsense',
  NODE_TLS_REJECT_UNAUTHORIZED: '0',
}

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'deploy-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

describe.skipIf(!HAS_PYTHON)('a service manager (needs Python)', () => {
  test('hears of start, life, reload and stop, at a path or a name that is no file', async () => {
    for (const name of [join(folder, 'notify'), `@postern-deploy-${process.pid}`]) {
      await using listener = await listenForNotices(name)
      const env = { NOTIFY_SOCKET: name, WATCHDOG_USEC: '300000' }
      const gateway = await startGateway({ args: NOWHERE, env })
      await listener.hears('READY=1')
      await listener.hears('STATUS=ready: 0 sessions on 127.0.0.1:')
      const before = listener.heard().indexOf('READY=1')
      expect(listener.heard().slice(0, before)).toContain('STATUS=starting: 0 sessions')
      expect(listener.heard().filter((line) => line === 'WATCHDOG=1')).not.toBeEmpty()
      process.kill(gateway.pid, 'SIGHUP')
      await gateway.logged('the configuration was reloaded')
      expect(await gateway.stop()).toMatchObject({ status: 0 })
      await listener.hears('STOPPING=1')
      const states = listener.heard().filter((line) => /^(READY|RELOADING|STOPPING)/.test(line))
      expect(states).toEqual(['READY=1', 'RELOADING=1', 'READY=1', 'STOPPING=1'])
      expect(listener.heard()).toContain('EXTEND_TIMEOUT_USEC=60000000')
      expect(gateway.log()).not.toContain('WRN')
    }
  })

  test('that does not listen, or speaks otherwise, keeps nothing from starting', async () => {
    await using silent = await startGateway({
      args: NOWHERE,
      env: { NOTIFY_SOCKET: join(folder, 'nobody') },
    })
    expect(silent.log()).not.toContain('WRN')
    await using other = await startGateway({ args: NOWHERE, env: { NOTIFY_SOCKET: 'vsock:2:1' } })
    await other.logged('NOTIFY_SOCKET=vsock:2:1: neither a path nor @ and a name')
  })
})

/** Instructions of the Dockerfile, lines that go on put together. */
function instructions(): readonly (readonly [name: string, words: string])[] {
  const text = readFileSync(join(DEPLOY, 'Dockerfile'), 'utf8').replaceAll('\\\n', ' ')
  return text
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1).trim()])
}

const texts = z.array(z.string())

function last(name: string): string {
  const [, words = ''] = instructions().findLast(([each]) => each === name) ?? []
  return words
}

describe('the image', () => {
  test('ends as a small one without root, with a start, a stop and a sign of health', () => {
    expect(last('FROM')).toMatch(/^debian:\w+-slim$/)
    expect(last('USER')).toMatch(/^[1-9]\d+:[1-9]\d+$/)
    expect(last('STOPSIGNAL')).toBe('SIGTERM')
    const entry = texts.parse(JSON.parse(last('ENTRYPOINT')))
    const health = last('HEALTHCHECK')
    expect(texts.parse(JSON.parse(health.slice(health.indexOf('CMD') + 3)))).toEqual([
      ...entry,
      'status',
    ])
  })

  test('is made of files that are there, and of none that .dockerignore leaves out', () => {
    const ignored = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n')
    const copied = instructions()
      .filter(([name, words]) => name === 'COPY' && !words.startsWith('--from'))
      .flatMap(([, words]) => words.split(/\s+/).slice(0, -1))
    expect(copied).toContain('deploy/container-start.sh')
    for (const path of copied) {
      expect({ path, there: existsSync(join(ROOT, path)) }).toEqual({ path, there: true })
      expect(ignored).not.toContain(path.split('/')[0])
    }
    // The folder of the build, and what of it goes on into the image.
    const built = instructions().filter(([, words]) => words.startsWith('--from=build'))
    for (const [, words] of built) {
      const path = words.split(/\s+/)[1]?.replace(`${last('WORKDIR')}/`, '') ?? ''
      expect(existsSync(join(ROOT, path.replace('/postern/dist', 'dist')))).toBeTrue()
    }
  })

  test('is started by a script that may be executed, with the executable that is copied', () => {
    const [entry] = texts.parse(JSON.parse(last('ENTRYPOINT')))
    const copies = instructions().map(([, words]) => words)
    expect(copies).toContain(`deploy/container-start.sh ${entry}`)
    expect(copies).toContain(`--from=build /postern/dist/postern ${INSTALLED}`)
    expect(statSync(join(DEPLOY, 'container-start.sh')).mode & 0o111).toBe(0o111)
  })
})

describe('the start in a container', () => {
  /** The script as it is, but for where the executable lies. */
  function start(argv: readonly string[]) {
    const script = readFileSync(join(DEPLOY, 'container-start.sh'), 'utf8')
    expect(script.split(INSTALLED)).toHaveLength(2)
    const file = join(folder, 'start')
    writeFileSync(file, script.replace(INSTALLED, gatewayBinary()))
    chmodSync(file, 0o755)
    const env = { PATH: process.env['PATH'], HOME: folder, KEPT: 'a\nBUN_NOTHING=b', ...HOSTILE }
    return run([file, ...argv], { env, cwd: folder })
  }

  test('is that of the gateway, whatever the environment would make of it', async () => {
    const { PATH } = process.env
    const without = await run([gatewayBinary(), 'version'], { env: { PATH, BUN_BE_BUN: '1' } })
    expect(without.stdout).not.toContain('postern')
    const { status, stdout, stderr } = await start(['version'])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toStartWith('postern ')
  })

  test('gives on the arguments and the exit status', async () => {
    const { status, stderr } = await start(['run', '--upstream', 'a b', '--nonsense'])
    expect(status).toBe(2)
    expect(stderr).toContain('--nonsense')
  })
})

describe('the alerts', () => {
  const rule = z.object({ alert: z.string(), expr: z.string() })
  const file = z.object({ groups: z.array(z.object({ rules: z.array(rule) })) })
  const alerts = join(DEPLOY, 'alerts.yaml')

  test('speak of metrics that are served, and of no others', async () => {
    await using gateway = await startGateway({ args: NOWHERE })
    await gateway.logged('metrics on http')
    const page = await (await fetch(`http://127.0.0.1:${gateway.metricsPort}/metrics`)).text()
    const served = new Set([...page.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name))
    const { groups } = file.parse(parse(readFileSync(alerts, 'utf8')))
    const named = groups
      .flatMap(({ rules }) => rules)
      .flatMap(({ expr }) => [...expr.matchAll(/\b(?:postern|process)_\w+/g)])
      .map(([name]) => name.replace(/_bucket$/, ''))
    expect(named).not.toBeEmpty()
    expect(named.filter((name) => !served.has(name))).toEqual([])
  })

  const promtool = Bun.which('promtool')
  test.skipIf(promtool === null)('are rules for Prometheus (needs promtool)', async () => {
    const { status, stdout, stderr } = await run([promtool ?? '', 'check', 'rules', alerts])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toContain('SUCCESS')
  })
})
