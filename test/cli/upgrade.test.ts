/** `postern upgrade`: what people and scripts are told of it. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startControl } from '../../src/admin/control.ts'
import type { UpgradeReport } from '../../src/admin/report.ts'
import { openRunFolder } from '../../src/admin/run-folder.ts'
import { upgrade } from '../../src/cli/upgrade.ts'
import { PLUGINS, RELOADED, STATUS, UPGRADED } from '../admin/reports.ts'
import { record, thrownBy } from './recorder.ts'

let home = ''
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'upgrade-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const env = () => ({ XDG_RUNTIME_DIR: home, TMPDIR: home })

async function startGateway(report: UpgradeReport) {
  const folder = openRunFolder(env())
  const control = await startControl(folder, {
    status: () => STATUS,
    plugins: () => PLUGINS,
    reload: async () => RELOADED,
    upgrade: async () => report,
  })
  return {
    [Symbol.asyncDispose]: async () => {
      await control.stop()
      folder.close()
    },
  }
}

test('says who serves, and who stays for how many clients', async () => {
  await using _gateway = await startGateway(UPGRADED)
  const io = record(env())
  expect(await upgrade([], io)).toBe(0)
  expect(io.written).toEqual([
    'upgraded in 800 ms: process 4712 serves, version 1.2.4\n' +
      '  process 4711, version 1.2.3, stays until its 3 sessions end',
  ])
})

const REFUSED: UpgradeReport = {
  ...UPGRADED,
  outcome: 'refused',
  pid: null,
  version: '',
  problems: ['/usr/local/bin/postern cannot be started: EACCES'],
}

test('tells why there was none on standard error, and fails', async () => {
  await using _gateway = await startGateway(REFUSED)
  const io = record(env())
  expect(await upgrade([], io)).toBe(1)
  expect(io.written).toEqual([])
  expect(io.complaints).toEqual([`not upgraded, process 4711 goes on:\n  ${REFUSED.problems[0]}`])
})

test('scripts get the report as JSON, and the same exit status', async () => {
  await using _gateway = await startGateway(REFUSED)
  const io = record(env())
  expect(await upgrade(['--json'], io)).toBe(1)
  expect(JSON.parse(io.written.join(''))).toEqual(REFUSED)
})

test('where no gateway runs there is nothing to upgrade', async () => {
  const error = await thrownBy(upgrade([], record(env())))
  expect(error).toMatchObject({ code: 'CONTROL_UNREACHABLE' })
})
