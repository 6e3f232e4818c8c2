-- SPDX-License-Identifier: MIT
--
-- 200 training steps on tiny Shakespeare, loss by loss, against PyTorch 1.13 (float64, LSTM of 96 units, one-hot input,
-- batch 16, sequences of 50, AdamW 2e-3, decay 0.01, gradient clipped to norm 1, state carried). The initial weights
-- are NumPy's RandomState(1).uniform(-s, s), s = 1/sqrt(96); a Mersenne Twister of our own draws the same numbers.

local lstm = require "lstm"
local tap = require "tap"

local losses = {
  4.17215766437282, 4.16045989009061, 4.14472849332159, 4.12861548529148, 4.080391372731,
  3.98062401533554, 3.77741860166471, 3.69609633783212, 3.64646662214833, 3.55131208235552,
  3.39728745498757, 3.31831216099431, 3.44168477810835, 3.27742171356133, 3.35618497462333,
  3.32245231437013, 3.41932517140996, 3.35955945738261, 3.2817998702653, 3.19333356475828,
  3.40184451446726, 3.24983685370971, 3.2913060942114, 3.26216094915053, 3.25575997039323,
  3.2875491616267, 3.25580052886593, 3.27357315815745, 3.36174167682269, 3.35914030885414,
  3.20122638069145, 3.30873674587484, 3.21424034170644, 3.30618127797046, 3.23318326675548,
  3.34280106821065, 3.25378143257405, 3.22045341726764, 3.16641816224195, 3.34354613196233,
  3.31878976567074, 3.33312960250725, 3.2180752967382, 3.2993735975264, 3.28247851795729,
  3.28149751806174, 3.22384393111592, 3.18370844016295, 3.31318757780782, 3.20266668730746,
  3.37772678743102, 3.20035097393704, 3.34615816774779, 3.29165732956864, 3.20233430504937,
  3.2898608982908, 3.27484623936493, 3.14629599731099, 3.17868154399277, 3.35283144472501,
  3.25105183761335, 3.24881233740328, 3.25044170014328, 3.32098630454362, 3.26957187545021,
  3.20087082049215, 3.34943476197567, 3.20194193946638, 3.17286502695559, 3.19022753153471,
  3.24771084980889, 3.31879758967902, 3.18956220284263, 3.25144683336826, 3.32179338992745,
  3.25231778767863, 3.25540939356676, 3.23213211009834, 3.29970119668919, 3.22504594689059,
  3.19256172297835, 3.26350589589484, 3.25009642576554, 3.23171917087243, 3.33123217804454,
  3.21809918427772, 3.24065647607356, 3.25946868188574, 3.2234612336979, 3.23689463679287,
  3.24190171457867, 3.33284612143223, 3.20042992652997, 3.27560362619353, 3.22686524112173,
  3.18062475628417, 3.14882933771088, 3.29988191312627, 3.2473776808842, 3.27248662448507,
  3.17822451248833, 3.11492565090339, 3.14289265520637, 3.18237174616513, 3.20654998894441,
  3.20536351481281, 3.26375387283574, 3.24298252883609, 3.26235633009018, 3.22093308617935,
  3.15211371888487, 3.30980534212196, 3.15467935572755, 3.16689695147584, 3.13414741262044,
  3.14024292546849, 3.10241254915104, 3.14488275446877, 3.1067170759558, 3.05354230236096,
  3.10374433160035, 3.09335521591578, 3.08669520197316, 3.12726379311273, 3.13556108632683,
  3.13529216594369, 3.1995430979817, 3.12405133466539, 3.13869781913703, 3.05666641180306,
  3.13795889144832, 3.01209050450334, 3.16168498931946, 3.04592072332451, 3.04531212449554,
  3.02417228963138, 3.04809854772192, 3.0454645588334, 3.04112600856475, 3.05392298674302,
  3.10111108791488, 3.04856765233657, 3.03979101964869, 3.00496822506179, 3.01947971368201,
  3.0278754490738, 2.99821354119611, 3.01554812272088, 3.06123022848116, 2.93482511226296,
  2.92759294495436, 2.96438590161871, 2.90637706778077, 2.91698698941472, 2.96567871924555,
  2.82069424745339, 2.94237014550197, 2.92272002366752, 2.92634115465674, 2.91253209208606,
  2.96863507356478, 2.90130306596675, 2.95548776542356, 2.96195758329225, 2.94706954083825,
  2.87712420643943, 2.86268054435594, 2.8594748067243, 2.89158436105732, 2.92456702292738,
  2.8634160601382, 2.80185201680982, 2.77368401480591, 2.81478788796655, 2.76273926722035,
  2.80647364922755, 2.85108570074838, 2.81994002628949, 2.79840614805207, 2.81834114243473,
  2.75338537213275, 2.80625456557649, 2.75005587759151, 2.81204675877298, 2.85802291993553,
  2.82419353676233, 2.76925138110516, 2.78571661588651, 2.72702302337793, 2.82785239536728,
  2.78901935092109, 2.73575779187672, 2.79863448856597, 2.77193255939908, 2.75016108882883,
  2.79678691716731, 2.73564447260393, 2.7993838204795, 2.73918008494608, 2.75650541298853,
}
local val_loss = 2.738508174772611 -- after the last step, over the last tenth of the text, state carried

local sha256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"

-- ---- the text -----------------------------------------------------------------------------------------------------

local function find_text()
  local cache = os.getenv "XDG_CACHE_HOME" or (os.getenv "HOME" or "") .. "/.cache"
  for _, directory in ipairs { os.getenv "LSTMRUN_DATA" or "", "../shared/data", cache .. "/lstmrun" } do
    local text = lstm.corpus { path = directory .. "/tinyshakespeare.txt", split = { 0.9, 0.1 } }
    if text and text.sha256 == sha256 then return text end
  end
end

if os.getenv "SANITIZER" == "yes" then tap.skip_all "a comparison of numbers, which a sanitizer makes long" end
local text = find_text()
if not text then tap.skip_all "tinyshakespeare.txt is neither in $LSTMRUN_DATA nor in the cache" end

-- ---- NumPy's random numbers: MT19937 (Matsumoto & Nishimura 1998), 53 bits from two draws -------------------------

local function mersenne_twister(seed)
  local state, at = { seed }, 625
  for k = 2, 624 do
    local last = state[k - 1]
    state[k] = (1812433253 * (last ~ last >> 30) + k - 1) & 0xffffffff
  end
  local function refill()
    for k = 1, 624 do
      local y = state[k] & 0x80000000 | state[k % 624 + 1] & 0x7fffffff
      state[k] = state[(k + 396) % 624 + 1] ~ y >> 1 ~ (y & 1) * 0x9908b0df
    end
    at = 1
  end
  local function draw()
    if at > 624 then refill() end
    local y = state[at]
    at = at + 1
    y = y ~ y >> 11
    y = y ~ y << 7 & 0x9d2c5680
    y = y ~ y << 15 & 0xefc60000
    return y ~ y >> 18
  end
  return function() return ((draw() >> 5) * 67108864 + (draw() >> 6)) / 9007199254740992 end
end

local function initial_weights(hidden)
  local random, bound = mersenne_twister(1), 1 / math.sqrt(hidden)
  return function(name, tensor)
    if name:find "bias" then return end -- zeros, and 1 for the forget gate: the defaults
    local rows, columns = table.unpack(tensor.shape)
    for r = 1, rows do
      for c = 1, columns do tensor:set(-bound + 2 * bound * random(), r, c) end
    end
  end
end

-- ---- the run ------------------------------------------------------------------------------------------------------

local function train(precision, steps)
  local model = lstm.model { vocab = text.vocab, hidden = 96, precision = precision, init = initial_weights(96) }
  local fit = model:trainer { batch = 16, seq = 50, lr = 2e-3, weight_decay = 0.01, clip_norm = 1 }
  local worst = 0
  for step = 1, steps do
    local loss = fit:step(text)
    local difference = math.abs(loss / losses[step] - 1)
    if not (difference <= worst) then worst = difference end -- NaN counts, too
  end
  return worst, model, fit
end

tap.is(#text.vocab, 65, "65 symbols")

-- Rounding differs between libraries, and its effect grows as training goes on; 1e-9 is what the reference promises.
local worst, model, fit = train("double", 200)
tap.ok(worst <= 1e-9, ("200 losses in double: largest relative difference %.2g"):format(worst))

local loss, count = fit:evaluate(text) -- the validation part, in one stream, as the reference does
tap.near(loss, val_loss, 1e-9, "validation loss in double")
tap.is(count, text.sizes.val - 1, "every token of it but the first is a target")
fit:close()
model:close()

-- float32 has 24 bits.
worst, model, fit = train("float", 200)
tap.ok(worst <= 1e-4, ("200 losses in float: largest relative difference %.2g"):format(worst))
tap.near(fit:evaluate(text, { batch = 8 }), val_loss, 1e-3, "validation loss in float, in eight streams")

tap.done()
