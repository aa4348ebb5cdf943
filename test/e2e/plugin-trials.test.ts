/** The executable tries plugins: its exit status, what it prints, and that nothing hangs. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assemble, describing, manifestOf, modulePath } from '../fixtures/wasm/kit.ts'
import type { CommandResult } from '../kit/command.ts'
import { runPostern } from '../kit/gateway.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-trials-'))
  copyFileSync(modulePath('words-assembly'), join(folder, 'words.wasm'))
  const loops = describing(
    manifestOf({ hooks: [{ name: 'onTrafficFromClient', messages: ['Query'] }] }),
    `(func (export "postern_alloc") (param i32) (result i32) (i32.const 65536))
     (func (export "on_traffic_from_client") (param i32 i32) (result i32)
       (loop $for_ever (br $for_ever)) (i32.const 0))`,
  )
  writeFileSync(join(folder, 'loops.wasm'), assemble(loops))
})
afterAll(() => rmSync(folder, { recursive: true }))

function postern(...args: string[]): Promise<CommandResult> {
  return runPostern(args, { cwd: folder })
}

function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text)
}

const PATIENT = 'limits: { callDeadline: 5s, startDeadline: 10s }\n'

describe('plugin test', () => {
  test('passes a plugin that does what its file says', async () => {
    write(
      'words.test.yaml',
      `${PATIENT}config: { words: drop }
cases:
  - name: a word is refused
    steps:
      - client: { Query: drop table t }
        expect:
          verdict: { deny: { code: 42501 } }
          toClient: [ErrorResponse: the word drop is not permitted, ReadyForQuery: I]
  - name: others pass
    steps:
      - client: { Query: truncate t }
        expect: { verdict: continue, toServer: [Query: truncate t] }
`,
    )
    const { status, stdout, stderr } = await postern('plugin', 'test', 'words.test.yaml')
    expect({ status, stdout, stderr }).toEqual({
      status: 0,
      stdout: [
        'words.test.yaml: words.wasm',
        'CASE               STEPS  RESULT',
        'a word is refused      1  passed',
        'others pass            1  passed',
        '2 cases, all passed',
        '',
      ].join('\n'),
      stderr: '',
    })
  })

  test('fails one that does not, and shows the difference', async () => {
    write(
      'wrong.test.yaml',
      `${PATIENT}plugin: words.wasm
cases:
  - name: nothing is refused
    steps:
      - client: { Query: drop table t }
        expect: { verdict: continue, metrics: none }
`,
    )
    const { status, stdout } = await postern('plugin', 'test', 'wrong.test.yaml')
    expect({ status, stdout }).toEqual({
      status: 1,
      stdout: [
        'wrong.test.yaml: words.wasm',
        'CASE                STEPS  RESULT',
        'nothing is refused      1  failed',
        '',
        'nothing is refused: failed',
        '  wrong.test.yaml:6: step 1, client Query',
        '    verdict (- expected, + found)',
        '      - continue',
        '      + deny: { code: 42501, message: the word drop is not permitted }',
        '    metrics (- expected, + found)',
        '      - none',
        '      + words_refused_total{word="drop"}: 1',
        '1 case, 1 failed',
        '',
      ].join('\n'),
    })
  })

  test('fails one that loops without end, with the reason', async () => {
    write('loops.test.yaml', 'cases: [{ name: a, steps: [{ client: { Query: x } }] }]\n')
    const { status, stdout } = await postern('plugin', 'test', 'loops.test.yaml')
    expect(status).toBe(1)
    expect(stdout).toContain('onTrafficFromClient: trapped (deadline): it ran for')
  })

  test('says what is wrong with its file, and ends with 2', async () => {
    write('slip.test.yaml', 'plugin: words.wasm\ncases:\n  - name: a\n    step: []\n')
    const { status, stdout, stderr } = await postern('plugin', 'test', 'slip.test.yaml')
    expect({ status, stdout, stderr }).toEqual({
      status: 2,
      stdout: '',
      stderr: 'slip.test.yaml:4:5: "step" is no key of cases[0] (did you mean "steps"?)\n',
    })
    expect((await postern('plugin', 'test')).status).toBe(2)
  })
})

test('every plugin that is shipped does what its own test file says', async () => {
  const sources = join(import.meta.dirname, '../../wasm-plugins')
  const files = ['audit', 'cache', 'firewall', 'mask', 'rate-limit', 'read-write-split'].map(
    (name) => join(sources, name, `${name}.test.yaml`),
  )
  const { status, stdout, stderr } = await postern('plugin', 'test', ...files)
  expect({ status, stderr, failed: / failed$/m.test(stdout) ? stdout : '' }).toEqual({
    status: 0,
    stderr: '',
    failed: '',
  })
}, 20_000)

test('plugin bench measures every hook', async () => {
  const { status, stdout } = await postern('plugin', 'bench', 'words.wasm', '--json')
  const { rows } = JSON.parse(stdout)
  expect(rows).toMatchObject([{ bytes: 0 }, { bytes: 100 }, { bytes: 1024 }, { bytes: 1_048_576 }])
  // A machine that is busy enough may let the longest run into its deadline.
  expect(status).toBeLessThanOrEqual(1)
}, 20_000)
