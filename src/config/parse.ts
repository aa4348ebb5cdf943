/** Checks a draft against its schema; every issue becomes a problem with its place. */
import type * as z from 'zod'
import type { Draft } from './draft.ts'
import { nearestName } from './nearest.ts'
import { clipped, type Problems, shownPath } from './problem.ts'
import { keysOf, type Path, spotAt } from './shape.ts'

/** The parsed value, or undefined where there are problems. */
export function parseDraft<S extends z.ZodType>(
  draft: Draft,
  schema: S,
  otherKeys: OtherKeys,
  problems: Problems,
): z.output<S> | undefined {
  // Compiling a parser costs more than it saves: a configuration is parsed once.
  const parsed = schema.safeParse(draft.root, { jitless: true })
  if (parsed.success) return parsed.data
  for (const issue of parsed.error.issues) {
    const path = issue.path.map(String)
    if (issue.code === 'unrecognized_keys') {
      addUnknown(draft, schema, path, issue.keys, otherKeys, problems)
    } else addRefused(draft, path, issue.message, problems)
  }
  return undefined
}

/** The keys at the top of the other file, where a misplaced key may belong. */
export interface OtherKeys {
  readonly file: string
  readonly keys: readonly string[]
}

function addUnknown(
  draft: Draft,
  schema: z.ZodType,
  path: Path,
  keys: readonly string[],
  otherKeys: OtherKeys,
  problems: Problems,
): void {
  const section = spotAt(schema, path).schema
  const known = section === undefined ? [] : keysOf(section)
  const where = path.length === 0 ? 'at the top' : `of ${spoken(draft, path)}`
  for (const key of keys) {
    const full = [...path, key]
    const place = draft.standing(full).key
    const belongs = path.length === 0 && otherKeys.keys.includes(key)
    const hint = belongs ? `; it belongs into ${otherKeys.file}` : ''
    const message = `"${clipped(key)}" is no key ${where}${hint}`
    problems.add(place, full, message, belongs ? undefined : nearestName(key, known))
  }
}

function addRefused(draft: Draft, path: Path, message: string, problems: Problems): void {
  const { value, shown } = draft.standing(path)
  const written = shown === null ? '' : `, not ${shown}`
  problems.add(value, path, `${spoken(draft, path)} ${message}${written}`)
}

/** A path with the name of the entry that it leads through: `plugins[2] (auth).timeout`. */
function spoken(draft: Draft, path: Path): string {
  const [list, position, ...rest] = path
  const isEntry = list === 'plugins' && position !== undefined
  const name = isEntry ? draft.at([list, position, 'name']) : undefined
  if (typeof name !== 'string' || rest[0] === 'name') return shownPath(path)
  const inner = rest.length === 0 ? '' : `.${shownPath(rest)}`
  return `${shownPath(path.slice(0, 2))} (${clipped(name)})${inner}`
}
