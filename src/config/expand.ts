/** Replaces `${NAME}` by a variable and, in secrets, `file:PATH` by what the file holds. */
import { resolve } from 'node:path'
import type { ReadFile } from './files.ts'

/** The environment, as the process got it. */
export type Environment = Readonly<Record<string, string | undefined>>

/** What may be looked up while text is expanded. */
export interface Sources {
  readonly env: Environment
  readonly readFile: ReadFile
  /** Where relative paths start. */
  readonly folder: string
}

/** The text, or why there is none. */
export type Expanded =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'refused'; readonly message: string }

/** A dollar sign that means itself is written twice before a brace. */
const REFERENCE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{/g

const UNNAMED =
  'has a dollar sign and a brace without NAME} behind them; ' +
  'write the dollar sign twice to mean the two characters'

/** Text with its variables in place. */
export function withVariables(written: string, env: Environment): Expanded {
  let refusal: string | undefined
  const text = written.replace(REFERENCE, (found: string, name: string | undefined) => {
    if (found === '$${') return '${'
    if (name === undefined) {
      refusal ??= UNNAMED
      return found
    }
    const value = env[name]
    if (value === undefined) refusal ??= `needs the environment variable ${name}, which is not set`
    return value ?? found
  })
  return refusal === undefined ? { kind: 'text', text } : { kind: 'refused', message: refusal }
}

const FILE = 'file:'

/** The content of a secret's file without the white space around it. */
function contentOf(path: string, sources: Sources): Expanded {
  const read = sources.readFile(resolve(sources.folder, path))
  if (read.kind === 'text') return { kind: 'text', text: read.text.trim() }
  const why = read.kind === 'absent' ? 'there is no such file' : read.message
  return { kind: 'refused', message: `needs the file ${path}: ${why}` }
}

/** Text as it was written, with what it refers to in its place. */
export function expanded(
  written: string,
  at: { readonly secret: boolean; readonly item: boolean },
  sources: Sources,
): Expanded {
  if (!at.secret) return withVariables(written, sources.env)
  // An item of a secret list is `NAME=value`, and the value is what may lie in a file.
  const start = at.item ? written.indexOf('=') + 1 : 0
  if (!written.startsWith(FILE, start)) return withVariables(written, sources.env)
  const path = withVariables(written.slice(start + FILE.length), sources.env)
  const content = path.kind === 'text' ? contentOf(path.text, sources) : path
  if (content.kind === 'refused') return content
  return { kind: 'text', text: written.slice(0, start) + content.text }
}

/** The value of a variable for a secret: as it is, or from the file that it names. */
export function fromVariable(value: string, isSecret: boolean, sources: Sources): Expanded {
  if (!isSecret || !value.startsWith(FILE)) return { kind: 'text', text: value }
  return contentOf(value.slice(FILE.length), sources)
}
