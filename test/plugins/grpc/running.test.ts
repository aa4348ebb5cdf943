/** Starts that fail: each names plugin, path, cause and cure, and leaves no process. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync, readFileSync, renameSync, rmSync, utimesSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { LastLines } from '../../../src/plugins/grpc/last-lines.ts'
import type { Running, StartRequest } from '../../../src/plugins/grpc/running.ts'
import { startPlugin } from '../../../src/plugins/grpc/running.ts'
import type { PluginSpec } from '../../../src/plugins/plugin.ts'
import { buildTypescriptPlugin } from '../../fixtures/grpc/build.ts'
import { Folder, KeptLog, specOf } from '../../fixtures/grpc/surroundings.ts'

// Processes are started, on machines that have other things to do.
setDefaultTimeout(60_000)

const folder = new Folder()
let scripted = ''

beforeAll(async () => {
  scripted = await buildTypescriptPlugin()
}, 120_000)
afterAll(() => folder.remove())

function requestFor(localPath: string, otherwise: Partial<PluginSpec> = {}): StartRequest {
  return {
    plugin: 'tried',
    spec: specOf(localPath, otherwise),
    dev: true,
    socketFolder: folder.path,
    log: new KeptLog().logger,
    signal: new AbortController().signal,
    lastLines: new LastLines(),
    lost: () => undefined,
  }
}

/** A script that keeps a pipe open, by whose end its death shows. */
function script(name: string, ...lines: readonly string[]) {
  const fifo = folder.fifo(`${name}.fifo`)
  const path = folder.script(name, ['#!/bin/sh', `exec 3>${fifo}`, ...lines, ''].join('\n'))
  return { path, gone: () => readFile(fifo) }
}

const rows: readonly (readonly [
  what: string,
  code: string,
  lines: readonly string[],
  problem: string,
])[] = [
  [
    'that ends',
    'PLUGIN_EXITED',
    ['echo "no cookie" >&2', 'exit 1'],
    'ended with code 1 before its handshake line; its last lines on standard error: "no cookie"',
  ],
  [
    'that says something else',
    'PLUGIN_HANDSHAKE',
    ['echo hello', 'exec sleep 60'],
    'it printed "hello" instead of a handshake line; localPath must be a GatewayD plugin',
  ],
  [
    'of another core version',
    'PLUGIN_HANDSHAKE',
    ['echo "2|1|unix|/s|grpc|"', 'exec sleep 60'],
    'it speaks core protocol "2", the gateway speaks 1',
  ],
  [
    'of another plugin version',
    'PLUGIN_HANDSHAKE',
    ['echo "1|2|unix|/s|grpc|"', 'exec sleep 60'],
    'it speaks plugin protocol "2", the gateway speaks 1',
  ],
  [
    'that speaks net/rpc',
    'PLUGIN_HANDSHAKE',
    ['echo "1|1|unix|/s|netrpc"', 'exec sleep 60'],
    'the gateway speaks grpc only',
  ],
  [
    'without a certificate',
    'PLUGIN_HANDSHAKE',
    ['echo "1|1|unix|/s|grpc|"', 'exec sleep 60'],
    'it sent no certificate',
  ],
  [
    'that floods',
    'PLUGIN_HANDSHAKE',
    ['exec cat /dev/zero'],
    'printed 65536 bytes without a handshake line',
  ],
]

describe('a plugin', () => {
  for (const [what, code, lines, problem] of rows) {
    test(`${what} is refused, and gone`, async () => {
      const { path, gone } = script(what.replaceAll(/\W/g, '-'), ...lines)
      const dead = gone()
      const attempt = startPlugin(requestFor(path))
      expect(attempt).rejects.toMatchObject({ code })
      expect(attempt).rejects.toThrow(`plugin tried (${path}): `)
      await expect(attempt).rejects.toThrow(problem)
      await dead
    })
  }

  test('that prints no line in time is refused with the time, and gone', async () => {
    const { path, gone } = script('silent', 'exec sleep 60')
    const dead = gone()
    const attempt = startPlugin(requestFor(path, { startTimeoutMs: 200 }))
    expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_TIMEOUT' })
    await expect(attempt).rejects.toThrow('printed no handshake line in 200 ms; if it needs longer')
    await dead
  })

  test('whose start is broken off before it runs ends with the reason for that', async () => {
    const stop = new AbortController()
    const { path } = script('aborted-early', 'exec sleep 60')
    const attempt = startPlugin({ ...requestFor(path), signal: stop.signal })
    const reason = new Error('broken off')
    stop.abort(reason)
    await expect(attempt).rejects.toBe(reason)
  })

  test('whose start is broken off while it runs ends with that reason, and is gone', async () => {
    const stop = new AbortController()
    const log = new KeptLog()
    const { path, gone } = script('aborted', 'echo ready >&2', 'exec sleep 60')
    const dead = gone()
    const attempt = startPlugin({ ...requestFor(path), signal: stop.signal, log: log.logger })
    await log.find((record) => record.msg === 'ready')
    const reason = new Error('broken off')
    stop.abort(reason)
    await expect(attempt).rejects.toBe(reason)
    await dead
    expect(sockets()).toEqual([])
  })

  test('whose file is not there is refused by name', async () => {
    const attempt = startPlugin(requestFor('/nowhere/plugin'))
    await expect(attempt).rejects.toThrow('plugin tried: /nowhere/plugin does not exist')
  })

  test('whose env entry has no name is refused, and was not started', async () => {
    const attempt = startPlugin(requestFor(scripted, { env: ['NONSENSE'] }))
    await expect(attempt).rejects.toThrow('env[0] of plugin tried is not NAME=value')
  })

  const swaps: readonly (readonly [what: string, swap: (path: string) => void])[] = [
    ['touched', (path) => utimesSync(path, 1, 1)],
    ['replaced', (path) => renameSync(folder.script('other', '#!/bin/sh\nexec sleep 61\n'), path)],
    ['removed', (path) => rmSync(path)],
  ]
  for (const [what, swap] of swaps) {
    test(`whose file was ${what} between check and start is refused`, async () => {
      const path = folder.script(`swapped-${what}`, '#!/bin/sh\nexec sleep 60\n')
      const request = requestFor(path)
      const attempt = startPlugin({
        ...request,
        // Asked for behind the check and before the start.
        get socketFolder() {
          swap(path)
          return folder.path
        },
      })
      if (what === 'removed') {
        await expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_FILE' })
        return
      }
      expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_CHECKSUM' })
      await expect(attempt).rejects.toThrow('its file changed while it was started')
    })
  }

  test('that serves another certificate than it told is refused, without a trace', async () => {
    const attempt = startPlugin(requestFor(scripted, { env: ['LIE=certificate'] }))
    await expect(attempt).rejects.toThrow(/GetPluginConfig failed: UNAVAILABLE: .*certificate/i)
    expect(sockets()).toEqual([])
  })
})

/** Folders of sockets that there are. */
function sockets(): string[] {
  return readdirSync(folder.path).filter((name) => name.startsWith('p-'))
}

describe('a running plugin', () => {
  let running: Running
  const file = `${folder.path}/calls`

  test('has said what it is, and was told by whom it is called', async () => {
    running = await startPlugin(requestFor(scripted, { env: [`RECORD_FILE=${file}`] }))
    expect(running.description['id']).toMatchObject({ name: 'scripted' })
    expect(running.checksum).toMatch(/^[0-9a-f]{64}$/)
    expect(running.ended).toBeNull()
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      method: 'GetPluginConfig',
      params: {},
    })
  })

  test('answers calls and pings', async () => {
    const params = { list: [1, 'a', null, { b: true }], request: Uint8Array.of(0, 255) }
    expect(await running.call('OnTraffic', params, 5000)).toEqual(params)
    expect(await running.ping(5000)).toBe(true)
  })

  test('is told to end, ends, and leaves no socket', async () => {
    expect(sockets()).toHaveLength(1)
    await Promise.all([running.stop(), running.stop()])
    expect(running.ended?.message).toBe('the process ended with code 0')
    expect(sockets()).toEqual([])
    await expect(running.call('OnTraffic', {}, 5000)).rejects.toThrow('the process ended')
  })
})
