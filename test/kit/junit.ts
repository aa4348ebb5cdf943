/** Reads the report that `bun test --reporter=junit` writes: exact counts, and who was skipped. */

export interface SkippedTest {
  readonly file: string
  /** With the names of the groups around it. */
  readonly name: string
  /** What stands in its name as `(needs …)` or `(skipped: …)`; null where nothing does. */
  readonly reason: string | null
}

export interface TestReport {
  readonly passed: number
  readonly failed: number
  readonly skipped: readonly SkippedTest[]
  /** Files with at least one test in the report. */
  readonly files: ReadonlySet<string>
}

/** Bun escapes `<` and `>` in every text, so that tags are found without a whole XML parser. */
const TEST_CASE = /<testcase\b([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs
const REASON = /\((?:needs|skipped:) ([^()]+)\)/

export function readReport(xml: string): TestReport {
  let passed = 0
  let failed = 0
  const skipped: SkippedTest[] = []
  const files = new Set<string>()
  for (const [, attributes = '', body = ''] of xml.matchAll(TEST_CASE)) {
    const file = attribute(attributes, 'file')
    files.add(file)
    if (/<(failure|error)\b/.test(body)) failed++
    else if (/<skipped\b/.test(body)) skipped.push(skippedTest(file, attributes))
    else passed++
  }
  return { passed, failed, skipped, files }
}

function skippedTest(file: string, attributes: string): SkippedTest {
  // Bun names the groups from the inside out.
  const groups = attribute(attributes, 'classname').split(' > ').reverse()
  const name = [...groups, attribute(attributes, 'name')].filter((part) => part !== '').join(' > ')
  return { file, name, reason: REASON.exec(name)?.[1] ?? null }
}

function attribute(attributes: string, name: string): string {
  const found = new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? ''
  return found.replace(/&(lt|gt|quot|apos|amp|#\d+);/g, (_, entity: string) => characterOf(entity))
}

const ENTITIES: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  amp: '&',
}

function characterOf(entity: string): string {
  return ENTITIES[entity] ?? String.fromCodePoint(Number(entity.slice(1)))
}
