/** The command `postern config lint`. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { configLint } from '../../src/cli/config.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-lint-'))
afterAll(() => rmSync(folder, { recursive: true }))

function written(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

const VALID = written('valid.yaml', 'raft: { nodeId: node2 }\n')
const PLUGINS = written('plugins.yaml', 'plugins: []\n')
const BROKEN = written('broken.yaml', 'servers:\n  default: { adress: 1, auth: [x] }\n')

async function lint(argv: readonly string[], colour = false) {
  const out: string[] = []
  const err: string[] = []
  const io = {
    out: (text: string) => void out.push(text),
    err: (text: string) => void err.push(text),
    env: {},
    colour,
  }
  return { status: await configLint(argv, io), out, err }
}

describe('config lint', () => {
  test('names the files that are valid, and gives notices on the side', async () => {
    expect(await lint(['-c', VALID, '-p', PLUGINS])).toEqual({
      status: 0,
      out: [`${VALID} is valid`, `${PLUGINS} is valid`],
      err: ['note: accepted, not acted on yet: raft'],
    })
  })

  test('prints every problem with its place, and fails', async () => {
    expect(await lint(['--config', BROKEN, '--plugin-config', PLUGINS])).toEqual({
      status: 1,
      out: [],
      err: [
        `${BROKEN}:2:14: "adress" is no key of servers.default (did you mean "address"?)`,
        `${BROKEN}:2:31: servers.default.auth must be empty or one of trust, scram-sha-256, md5`,
        '2 problems',
      ],
    })
  })

  test('fails where a file is missing', async () => {
    const { status, err } = await lint(['-c', join(folder, 'gone.yaml')])
    expect(status).toBe(1)
    expect(err.join()).toContain('gone.yaml: there is no such configuration file')
  })

  test('speaks JSON on request, and nothing else then', async () => {
    const valid = await lint(['-c', VALID, '-p', PLUGINS, '--json'])
    expect([valid.status, valid.err]).toEqual([0, []])
    expect(JSON.parse(valid.out.join())).toEqual({
      valid: true,
      problems: [],
      sources: [VALID, PLUGINS],
      variables: [],
      notices: ['accepted, not acted on yet: raft'],
    })
    const broken = await lint(['-c', BROKEN, '-p', PLUGINS, '--json'])
    expect([broken.status, broken.err]).toEqual([1, []])
    expect(JSON.parse(broken.out.join())).toMatchObject({
      valid: false,
      problems: [
        { file: BROKEN, line: 2, column: 14, nearest: 'address' },
        { line: 2, column: 31 },
      ],
    })
    const missing = await lint(['-c', join(folder, 'gone.yaml'), '--json'])
    expect(JSON.parse(missing.out.join())).toMatchObject({ valid: false })
  })

  test('uses colours only where they are wanted', async () => {
    const control = String.fromCharCode(27)
    const plain = await lint(['-c', BROKEN])
    expect(plain.err.join()).not.toContain(control)
    const coloured = await lint(['-c', BROKEN], true)
    expect(coloured.err.join()).toContain(control)
  })

  test("accepts GatewayD's flag for crash reports, which has no effect", async () => {
    for (const flag of ['--sentry', '--sentry=false', '--no-sentry', '-s']) {
      expect((await lint(['-c', VALID, '-p', PLUGINS, flag])).status).toBe(0)
    }
  })

  test('refuses flags and words that it does not know', async () => {
    for (const argv of [['--nope'], ['word'], ['-c'], ['--json=1']]) {
      await expect(lint(argv)).rejects.toMatchObject({ code: 'USAGE' })
    }
  })
})
