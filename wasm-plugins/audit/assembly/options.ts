/** The configuration, read at the first hook. */
import { logEnabled } from '../../sdk/assembly/host'
import {
  random,
  settingChoice,
  settingFlag,
  settingInteger,
  settingNumber,
} from '../../sdk/assembly/sdk'

const LEVELS = 'trace debug info warn error off'
const INFO: i32 = 2
const OFF: i32 = 5

const place = memory.data(4)

export class Options {
  static level: i32 = INFO
  static connections: bool = true
  static statementBytesMax: i32 = 1024
  static minDurationMs: f64 = 0
  static parameters: bool = false
  static errorMessages: bool = false
  static sample: f64 = 1
  private static isRead: bool = false

  static read(): void {
    if (Options.isRead) return
    Options.isRead = true
    Options.level = settingChoice('level', LEVELS, INFO)
    Options.connections = settingFlag('connections', true)
    Options.statementBytesMax = <i32>settingInteger('statementBytesMax', 1024)
    Options.minDurationMs = <f64>settingInteger('minDuration', 0)
    Options.sample = settingNumber('sample', 1)
    Options.parameters = settingFlag('parameters')
    Options.errorMessages = settingFlag('errorMessages')
  }

  /** True where a line would be written now; the gateway's own level counts too. */
  static get writes(): bool {
    return Options.level != OFF && logEnabled(Options.level)
  }

  /** True for a statement that belongs to the share that is told. */
  static isChosen(): bool {
    if (Options.sample >= 1) return true
    random(place, 4)
    return <f64>load<u32>(place) < Options.sample * 4294967296.0
  }
}
