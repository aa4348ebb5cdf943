/** `postern config lint`: says whether the configuration files are valid, and all that is wrong. */
import { parseArgs, styleText } from 'node:util'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { ConfigError, type Problem, problemLine } from '../config/problem.ts'
import type { Io } from './io.ts'

const VALID = 0
const INVALID = 1

interface LintFlags {
  readonly configPath: string | undefined
  readonly pluginsPath: string | undefined
  readonly json: boolean
}

/** GatewayD's flag for its crash reports: accepted, and without effect, because there are none. */
const SENTRY = /^(--sentry|--no-sentry|--sentry=.*|-s)$/

function lintFlags(argv: readonly string[]): LintFlags {
  try {
    const { values } = parseArgs({
      args: argv.filter((argument) => !SENTRY.test(argument)),
      options: {
        config: { type: 'string', short: 'c' },
        'plugin-config': { type: 'string', short: 'p' },
        json: { type: 'boolean', default: false },
      },
      strict: true,
      allowPositionals: false,
    })
    return {
      configPath: values.config,
      pluginsPath: values['plugin-config'],
      json: values.json,
    }
  } catch (error) {
    const help = 'postern config lint --help lists the flags'
    throw new GatewayError('USAGE', `${sentenceOf(error)} (${help})`)
  }
}

/** What was found, valid or not. */
type Outcome =
  | { readonly kind: 'valid'; readonly loaded: LoadedConfig }
  | { readonly kind: 'invalid'; readonly problems: readonly Problem[] }
  | { readonly kind: 'missing'; readonly message: string }

function outcomeOf(flags: LintFlags, env: Io['env']): Outcome {
  const { configPath, pluginsPath } = flags
  try {
    return { kind: 'valid', loaded: loadConfig({ configPath, pluginsPath, env }) }
  } catch (error) {
    if (error instanceof ConfigError) return { kind: 'invalid', problems: error.problems }
    if (error instanceof GatewayError && error.code === 'CONFIG_MISSING') {
      return { kind: 'missing', message: error.message }
    }
    throw error
  }
}

/**
 * Lints the files that a run with the same flags and environment would read. Returns the exit
 * status: 0 valid, 1 not; throws USAGE for flags that do not exist.
 */
export async function configLint(argv: readonly string[], io: Io): Promise<number> {
  const flags = lintFlags(argv)
  const outcome = outcomeOf(flags, io.env)
  if (flags.json) io.out(JSON.stringify(asJson(outcome), null, 2))
  else print(outcome, io)
  return outcome.kind === 'valid' ? VALID : INVALID
}

function asJson(outcome: Outcome) {
  switch (outcome.kind) {
    case 'valid': {
      const { sources, variables, notices } = outcome.loaded
      return { valid: true, problems: [], sources, variables, notices }
    }
    case 'invalid':
      return { valid: false, problems: outcome.problems }
    case 'missing':
      return { valid: false, problems: [], missing: outcome.message }
  }
}

function print(outcome: Outcome, io: Io): void {
  switch (outcome.kind) {
    case 'valid':
      for (const notice of outcome.loaded.notices)
        io.err(`${tinted('yellow', 'note', io)}: ${notice}`)
      for (const source of outcome.loaded.sources) {
        io.out(`${source} is ${tinted('green', 'valid', io)}`)
      }
      return
    case 'invalid': {
      for (const problem of outcome.problems) io.err(problemLine(problem))
      const { length } = outcome.problems
      io.err(tinted('red', length === 1 ? '1 problem' : `${length} problems`, io))
      return
    }
    case 'missing':
      io.err(outcome.message)
  }
}

function tinted(colour: 'green' | 'yellow' | 'red', text: string, io: Io): string {
  return io.colour ? styleText(colour, text, { validateStream: false }) : text
}
