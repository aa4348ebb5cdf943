/** Reads the arguments of a command, strictly: what is not known is refused, with a suggestion. */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import { nearestName } from '../config/nearest.ts'

type FlagOptions = NonNullable<ParseArgsConfig['options']>

/**
 * The flags of a command, and its other arguments where `positionals` says what they are. Throws
 * USAGE for anything that is not known.
 */
export function readFlags<const Options extends FlagOptions>(
  argv: readonly string[],
  options: Options,
  positionals?: string,
) {
  const args = [...argv]
  const { tokens } = parseArgs({ args, options, strict: false, tokens: true })
  for (const token of tokens) {
    if (token.kind === 'option' && !Object.hasOwn(options, token.name)) {
      refuseFlag(token.rawName, Object.keys(options))
    }
    if (token.kind === 'positional' && positionals === undefined) {
      throw new GatewayError('USAGE', `"${token.value}" is not expected; only flags are`)
    }
  }
  try {
    return parseArgs({ args, options, strict: true, allowPositionals: positionals !== undefined })
  } catch (cause) {
    throw new GatewayError('USAGE', sentenceOf(cause))
  }
}

function refuseFlag(flag: string, known: readonly string[]): never {
  const nearest = nearestName(flag.replace(/^-+/, ''), known)
  const all = known.map((name) => `--${name}`).join(', ')
  const rest = all === '' ? 'it takes none' : `there is ${all}`
  const cure = nearest === undefined ? rest : `did you mean --${nearest}?`
  throw new GatewayError('USAGE', `the flag ${flag} is not known; ${cure}`)
}
