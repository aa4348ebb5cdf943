/** `postern plugin test`: what it prints and how it ends. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pluginTest } from '../../src/cli/plugin-test.ts'
import { modulePath } from '../fixtures/wasm/kit.ts'
import { record, thrownBy } from './recorder.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-plugin-test-'))
const good = join(folder, 'good.test.yaml')
const bad = join(folder, 'bad.test.yaml')
afterAll(() => rmSync(folder, { recursive: true }))

beforeAll(() => {
  const patient = 'limits: { callDeadline: 10s, startDeadline: 10s }'
  const head = `plugin: ${modulePath('verdicts')}\n${patient}\n`
  const passes = `  - name: passes
    steps:
      - client: { Query: select 1 }
        expect: continue
`
  writeFileSync(good, `${head}cases:\n${passes}`)
  writeFileSync(
    bad,
    `${head}cases:\n${passes}  - name: is refused
    steps:
      - client: { Query: select 1 }
        expect:
          verdict: { deny: { code: 42501 } }
          toClient: [ErrorResponse: { code: 42501 }, ReadyForQuery: I]
      - client: { Query: /*seven*/ }
`,
  )
})

/** What was written, without the folders of this machine. */
function plain(texts: readonly string[]): string {
  return texts
    .join('\n')
    .replaceAll(`${folder}/`, '')
    .replace(/[^ ]*verdicts\.wasm/g, 'verdicts.wasm')
}

describe('plugin test', () => {
  test('prints a table and ends with 0 where all is as expected', async () => {
    const io = record()
    expect(await pluginTest([good], io)).toBe(0)
    expect(plain(io.written)).toBe(
      [
        'good.test.yaml: verdicts.wasm',
        'CASE    STEPS  RESULT',
        'passes      1  passed',
        '1 case, all passed',
      ].join('\n'),
    )
  })

  test('prints every difference with its place, and ends with 1', async () => {
    const io = record()
    expect(await pluginTest([bad], io)).toBe(1)
    expect(plain(io.written)).toBe(
      [
        'bad.test.yaml: verdicts.wasm',
        'CASE        STEPS  RESULT',
        'passes          1  passed',
        'is refused      2  failed',
        '',
        'is refused: failed',
        '  bad.test.yaml:10: step 1, client Query',
        '    verdict (- expected, + found)',
        '      - deny: { code: 42501 }',
        '      + continue',
        '    toClient (- expected, + found)',
        '      - ErrorResponse: { code: 42501 }',
        '      - ReadyForQuery: I',
        '      + none',
        '  bad.test.yaml:14: step 2, client Query',
        '    onTrafficFromClient: returned 7, which is no verdict',
        '2 cases, 1 failed',
      ].join('\n'),
    )
  })

  test('gives scripts the same as JSON', async () => {
    const io = record()
    expect(await pluginTest(['--json', good, bad], io)).toBe(1)
    expect(JSON.parse(io.written.join('\n'))).toMatchObject({
      passed: false,
      files: [
        { file: good, cases: [{ name: 'passes', passed: true }] },
        {
          file: bad,
          cases: [
            { passed: true },
            {
              passed: false,
              failures: [
                { step: 1, line: 10, differences: [{ what: 'verdict' }, { what: 'toClient' }] },
                { step: 2, line: 14 },
              ],
            },
          ],
        },
      ],
    })
  })

  test('tells of a file that cannot be used, runs the others, and ends with 2', async () => {
    const io = record()
    const gone = join(folder, 'gone.test.yaml')
    expect(await pluginTest([gone, good], io)).toBe(2)
    expect(plain(io.complaints)).toBe('gone.test.yaml cannot be read: there is no such file')
    expect(plain(io.written)).toContain('1 case, all passed')
    const lost = join(folder, 'lost.test.yaml')
    writeFileSync(lost, 'plugin: no.wasm\ncases: [{ name: a, steps: [{ client: Sync }] }]\n')
    expect(await pluginTest([lost], io)).toBe(2)
    expect(plain(io.complaints)).toContain('no.wasm: cannot be read; `localPath` must name')
  })

  test('asks for a file', async () => {
    expect(await thrownBy(pluginTest([], record()))).toMatchObject({ code: 'USAGE' })
  })
})
