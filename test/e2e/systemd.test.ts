/**
 * deploy/postern.service under the real systemd: it is up when clients can connect, its hardening
 * is in the way of nothing that the gateway does, and a gateway that hangs is replaced.
 */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { findProgram } from '../bench/programs.ts'
import { run } from '../kit/command.ts'
import { freePort } from '../kit/free-port.ts'
import { gatewayBinary } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { hasSystemd, underSystemd } from '../kit/systemd.ts'
import { openSession } from '../kit/wire.ts'

const UNIT = resolve(import.meta.dir, '../../deploy/postern.service')
const AUDIT = resolve(import.meta.dir, '../../dist/plugins/audit.wasm')
/** More than this is said to be "medium". */
const EXPOSURE_MAX = 2
const HAS_ANALYZE = Bun.which('systemd-analyze') !== null

const sha256 = (bytes: string | Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex')

describe.skipIf(!HAS_ANALYZE)('by systemd-analyze (needs systemd)', () => {
  test('the unit has no fault', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'unit-'))
    const file = join(folder, 'postern.service')
    // Where it will be installed there is nothing yet.
    const unit = readFileSync(UNIT, 'utf8').replaceAll('/usr/local/bin/postern', gatewayBinary())
    await Bun.write(file, unit)
    const { status, stderr } = await run(['systemd-analyze', 'verify', '--man=no', file])
    rmSync(folder, { recursive: true })
    const ours = stderr.split('\n').filter((line) => line.includes('postern.service'))
    expect({ status, ours }).toEqual({ status: 0, ours: [] })
  })

  test('the unit leaves little open', async () => {
    const found = await run(['systemd-analyze', 'security', '--offline=true', UNIT])
    const exposure = /exposure level for postern\.service: ([\d.]+)/.exec(found.stdout)?.[1]
    expect(Number(exposure)).toBeLessThan(EXPOSURE_MAX)
  })
})

describe.skipIf(!(await hasSystemd()))('under systemd (needs systemd, root, namespaces)', () => {
  let postgres: PostgresServer
  beforeAll(async () => {
    postgres = await startPostgres()
  })
  afterAll(() => postgres.stop())

  /** A WASM plugin, which is compiled in the gateway, and one that is started, if only to fail. */
  function files(port: number) {
    const audit = readFileSync(AUDIT)
    const script = '#!/bin/sh\necho no plugin\n'
    const plugins = [
      { name: 'audit', localPath: '/etc/postern/audit.wasm', checksum: sha256(audit) },
      { name: 'script', localPath: '/etc/postern/script', checksum: sha256(script) },
    ]
    const config = {
      clients: { default: { writes: { address: `${postgres.host}:${postgres.port}` } } },
      servers: { default: { address: `127.0.0.1:${port}` } },
      metrics: { default: { enabled: false } },
      loggers: { default: { output: ['console', 'file'], fileName: '/var/log/postern/log' } },
    }
    return {
      'postern.yaml': JSON.stringify(config),
      'postern_plugins.yaml': JSON.stringify({ plugins }),
      'audit.wasm': audit,
      script,
      environment: 'BUN_BE_BUN=1\nBUN_OPTIONS="--print 1"\nBUN_INSPECT=127.0.0.1:0\n',
    }
  }

  test('it is up when it listens, works within its bounds, is replaced when it hangs', async () => {
    const port = await freePort()
    const { output, log } = await underSystemd({
      files: files(port),
      service: 'WatchdogSec=600ms\nRestartSec=50ms\n',
      timeoutMs: 25_000,
      scripts: [
        'systemctl start postern; echo "start: $?"; systemctl show postern -p StatusText',
        // Stopped, its loop does not turn: only another process can be active again.
        `first=$(systemctl show -P MainPID postern)
        grep -E '^(Uid|CapEff|NoNewPrivs):' "/proc/$first/status"
        echo "log: $(wc -l < /var/log/postern/log)"
        kill -STOP "$first"
        while [ "$(systemctl show -P MainPID postern)" = "$first" ] ||
          [ "$(systemctl show -P ActiveState postern)" != active ]; do sleep 0.02; done
        systemctl show postern -p NRestarts
        ls -A /run/postern | wc -l
        systemctl stop postern; echo "stop: $?"
        systemctl show postern -p Result -p ExecMainStatus`,
      ],
      async between() {
        const { user, database } = postgres
        using wire = await openSession({ host: '127.0.0.1', port, user, database })
        expect(await wire.rows('select 42')).toEqual([['42']])
      },
    })
    expect(output).toContain('start: 0\nStatusText=ready: 0 sessions on 127.0.0.1:')
    expect(output).toContain('1 of 2 plugins ready')
    expect(output).toMatch(/Uid:\s10001\s/)
    expect(output).toMatch(/CapEff:\s0+\n/)
    expect(output).toMatch(/NoNewPrivs:\s1\n/)
    expect(output).toMatch(/log: [1-9]/)
    // The folder of the one that was killed is gone with it.
    expect(output).toContain('NRestarts=1\n1\nstop: 0\nResult=success\nExecMainStatus=0\n')
    expect(log).toContain('instead of a handshake line')
    expect(log).toContain('stopping')
  }, 30_000)

  test('an upgrade makes another process the main one, and both live on', async () => {
    const port = await freePort()
    const { user, database } = postgres
    const psql = findProgram('psql')!
    const { output } = await underSystemd({
      files: files(port),
      service: 'WatchdogSec=600ms\n',
      timeoutMs: 25_000,
      scripts: [
        `systemctl start postern
        main() { systemctl show -P MainPID postern; }
        first=$(main)
        ${psql} -h 127.0.0.1 -p ${port} -U ${user} -Atc "select 'slept' from pg_sleep(2)" \
          ${database} &
        client=$!
        while ! /usr/local/bin/postern status | grep -q '1 open'; do sleep 0.02; done
        /usr/local/bin/postern upgrade; echo "upgrade: $?"
        second=$(main)
        [ "$second" != "$first" ] && echo 'another process'
        grep -q postern "/proc/$first/comm" && echo 'the first one too'
        wait "$client"
        while [ -e "/proc/$first" ]; do sleep 0.02; done
        systemctl show postern -p StatusText -p NRestarts -p ActiveState
        systemctl kill --signal=USR2 --kill-whom=main postern
        while [ "$(main)" = "$second" ] || [ "$(main)" = 0 ]; do sleep 0.02; done
        systemctl reload postern; echo "reload: $?"`,
        `systemctl show postern -p NRestarts -p ActiveState
        systemctl stop postern; echo "stop: $?"
        systemctl show postern -p Result -p ExecMainStatus
        ls -A /run/postern 2>/dev/null | wc -l`,
      ],
      async between() {
        using wire = await openSession({ host: '127.0.0.1', port, user, database })
        expect(await wire.rows('select 42')).toEqual([['42']])
        // Longer than the watchdog waits.
        await Bun.sleep(700)
      },
    })
    expect(output).toMatch(/upgraded in \d+ ms: process \d+ serves/)
    expect(output).toContain('upgrade: 0\nanother process\nthe first one too\nslept\n')
    expect(output).toContain('NRestarts=0')
    expect(output).toContain('reload: 0\n')
    expect(output).not.toMatch(/NRestarts=[1-9]/)
    expect(output).not.toContain('ActiveState=failed')
    expect(output).toContain('stop: 0\nResult=success\nExecMainStatus=0\n0\n')
  }, 30_000)
})
