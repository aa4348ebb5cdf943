/** The statements that the demo sends, and what became of each on its way. */
import type { Client, QueryConfig, QueryResult } from 'pg'
import { DatabaseError } from 'pg'
import { GUARD, type RunningDemo } from './gateway.ts'

/** What the demo expects of a statement; anything else is a failure of the demo. */
type Expectation = 'done' | 'refused'

interface Statement {
  readonly shown: string
  readonly query: QueryConfig
  readonly expected: Expectation
}

const plain = (text: string): Statement => ({ shown: text, query: { text }, expected: 'done' })

/** In this order, on one connection. */
export const STATEMENTS: readonly Statement[] = [
  plain('SELECT 40 + 2 AS answer'),
  plain('CREATE TABLE orders (id int PRIMARY KEY, note text)'),
  plain("INSERT INTO orders VALUES (1, 'first'), (2, 'second')"),
  {
    shown: 'SELECT note FROM orders WHERE id = $1   (prepared, $1 = 2)',
    query: { name: 'by-id', text: 'SELECT note FROM orders WHERE id = $1', values: [2] },
    expected: 'done',
  },
  plain('BEGIN'),
  plain("UPDATE orders SET note = 'changed' WHERE id = 1"),
  plain('COMMIT'),
  { ...plain('DROP TABLE orders'), expected: 'refused' },
  plain('SELECT count(*) FROM orders'),
]

/** Sent after them, so that the mean of a call is not that of the first few. */
const MORE_STATEMENTS = 1000

export interface Outcome {
  readonly statement: Statement
  /** Rows or the command that was done, or the error; for people. */
  readonly shown: string
  readonly kind: Expectation
  /** What the audit plugin has logged of it: the kind and the tables. */
  readonly audit: string
  /** What the guard plugin did with it. */
  readonly guard: 'passed' | 'refused' | 'was not asked' | 'failed'
}

/** Sends every statement, then many more of one; throws where the connection breaks. */
export async function runStatements(
  client: Client,
  demo: RunningDemo,
): Promise<readonly Outcome[]> {
  const outcomes: Omit<Outcome, 'audit'>[] = []
  for (const statement of STATEMENTS) {
    const before = await demo.plugin(GUARD)
    const { kind, shown } = await send(client, statement.query)
    const after = await demo.plugin(GUARD)
    const isRefused = kind === 'refused' && (await demo.hasRefused(statement.query.text))
    const guard = isRefused ? 'refused' : guardWord(before, after)
    outcomes.push({ statement, shown, kind, guard })
  }
  const audited = await demo.audited(STATEMENTS.length)
  for (let count = 0; count < MORE_STATEMENTS; count++) await client.query('SELECT 1')
  await demo.audited(STATEMENTS.length + MORE_STATEMENTS)
  return outcomes.map((outcome, at) => ({ ...outcome, audit: audited[at] ?? 'nothing' }))
}

/** How many statements the audit plugin must have counted by then. */
export const STATEMENTS_SENT = STATEMENTS.length + MORE_STATEMENTS

interface Calls {
  readonly calls: number
  readonly failures: number
}

function guardWord(before: Calls, after: Calls): Outcome['guard'] {
  if (after.failures > before.failures) return 'failed'
  return after.calls > before.calls ? 'passed' : 'was not asked'
}

async function send(
  client: Client,
  query: QueryConfig,
): Promise<{ readonly kind: Expectation; readonly shown: string }> {
  try {
    return { kind: 'done', shown: resultText(await client.query(query)) }
  } catch (error) {
    // Without a SQLSTATE it is no answer of a database: the connection is gone.
    if (!(error instanceof DatabaseError)) throw error
    return { kind: 'refused', shown: `${error.severity} ${error.code}: ${error.message}` }
  }
}

function resultText({ command, rowCount, rows, fields }: QueryResult): string {
  if (fields.length === 0) return rowCount === null ? command : `${command}, ${rowsText(rowCount)}`
  const [first] = rows
  const values = first === undefined ? [] : Object.values(first)
  return `${rowsText(rowCount ?? 0)}: ${values.join(', ')}`
}

const rowsText = (count: number): string => `${count} ${count === 1 ? 'row' : 'rows'}`

/** What is not as it must be; empty where the demo has shown what it should. */
export function faultsOf(outcomes: readonly Outcome[]): readonly string[] {
  return outcomes.flatMap(({ statement, kind, shown, audit, guard }) => {
    const { text } = statement.query
    const isRefused = statement.expected === 'refused'
    const verb = text?.split(' ')[0] ?? ''
    return [
      ...(kind === statement.expected ? [] : [`${text}: ${shown}, but not ${statement.expected}`]),
      ...(audit.startsWith(verb) ? [] : [`${text}: audit has logged ${audit}, not ${verb}`]),
      ...(guard === (isRefused ? 'refused' : 'passed') ? [] : [`${text}: guard ${guard}`]),
    ]
  })
}
