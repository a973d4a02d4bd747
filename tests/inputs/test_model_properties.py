"""Whatever the dataset and the model, an artifact gives what a plain hook on the unmodified model sees.

The reference is pytorch-forecasting alone: its dataset builds the inputs, its model runs to the end.
"""

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, event, given, reject, settings
from hypothesis import strategies as st
from pytorch_forecasting import DecoderMLP, DeepAR, RecurrentNetwork, TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.data.encoders import GroupNormalizer
from pytorch_forecasting.metrics import MAE, MultiLoss, NormalDistributionLoss, QuantileLoss
from sklearn.preprocessing import StandardScaler

from tests.inputs.drawn import options, options_with_gaps, options_with_lags
from tests.packing import pack
from tests.training import quiet_trainer
from undertow.artifact.load.loader import load
from undertow.core.errors import Refused
from undertow.core.features import Feature, Tap
from undertow.core.returned import unpack

pytestmark = pytest.mark.filterwarnings("ignore")
FEW = 15  # the same ones each time
EXAMPLES = max(FEW, settings.default.max_examples // 16)  # 312, drawn anew, with the profile `long`


TAPS = {
    TemporalFusionTransformer: [
        "encoder_variable_selection",
        "static_variable_selection",
        "static_context_enrichment",
        "lstm_encoder",
        "lstm_decoder",
        "static_enrichment",
        "multihead_attn",
        "pos_wise_ff",
    ],
    RecurrentNetwork: ["rnn"],
    DeepAR: ["rnn"],
    DecoderMLP: ["mlp.sequential.0", "mlp.sequential.1"],
}


@st.composite
def models(draw):
    """A dataset's arguments, and a model of any kind that takes such a dataset."""
    made = draw(st.one_of(options(), options_with_lags(), options_with_gaps()))
    kind = draw(
        st.sampled_from([TemporalFusionTransformer, TemporalFusionTransformer, RecurrentNetwork, DeepAR, DecoderMLP])
    )
    if len(made["target"]) == 1:  # of a list of one pytorch-forecasting's models make layers of no size
        [made["target"]], [made["target_normalizer"]] = made["target"], made["target_normalizer"].normalizers
        of_no_name = StandardScaler().fit([[0.2], [0.5], [0.7]])
        grouped = [name for name, scaler in made["scalers"].items() if isinstance(scaler, GroupNormalizer)]
        made["scalers"] |= dict.fromkeys(grouped, of_no_name)
    targets = [made["target"]] if isinstance(made["target"], str) else made["target"]
    if kind in {RecurrentNetwork, DeepAR}:  # their encoders see the decoder's columns and the targets, no others
        made["time_varying_unknown_reals"], made["time_varying_unknown_categoricals"] = list(targets), []
        there = {
            *made["time_varying_known_reals"],
            *made["time_varying_known_categoricals"],
            *made["static_reals"],
            *targets,
        }
        there -= {*(targets if len(targets) > 1 else ())}  # whose lags would have to be the same
        made["lags"] = {name: steps for name, steps in made["lags"].items() if name in there}
        made["constant_fill_strategy"] = {
            name: value for name, value in made.get("constant_fill_strategy", {}).items() if name in {*there, "v1"}
        }
        if "allow_missing_timesteps" not in made:
            del made["constant_fill_strategy"]
    labels = {*made["time_varying_known_categoricals"], *made["time_varying_unknown_categoricals"]}
    made["lags"] = {name: steps for name, steps in made["lags"].items() if name not in labels}  # they have no embedding
    several = not isinstance(made["target"], str)
    of_one = {DeepAR: NormalDistributionLoss, TemporalFusionTransformer: QuantileLoss}.get(kind, MAE)
    model = {
        "hidden_size": draw(st.sampled_from([4, 8, 16])),
        "dropout": draw(st.sampled_from([0.0, 0.3])),
        "loss": MultiLoss([of_one() for _ in targets]) if several else of_one(),
    }
    if kind is TemporalFusionTransformer:
        model |= {
            "attention_head_size": draw(st.sampled_from([1, 2, 4])),
            "hidden_continuous_size": draw(st.sampled_from([2, 4, 8])),
            "lstm_layers": draw(st.integers(1, 2)),
            "share_single_variable_networks": draw(st.booleans()),
            "causal_attention": draw(st.booleans()),
        }
        model["output_size"] = [7 for _ in targets] if several else 7
    elif kind is DecoderMLP:
        model |= {"n_hidden_layers": draw(st.integers(1, 3)), "norm": draw(st.booleans())}
        model["output_size"] = [1 for _ in targets] if several else 1
    else:
        model |= {"cell_type": draw(st.sampled_from(["LSTM", "GRU"])), "rnn_layers": draw(st.integers(1, 3))}
    return made, kind, model


def save(model, path):
    """Write the checkpoint that Lightning writes in a training."""
    trainer = quiet_trainer()
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path)


def plain(model, x, tap):
    """What a hook sees at a tap in a whole forward."""
    seen = []
    handle = model.get_submodule(tap.path).register_forward_hook(
        lambda _, __, output: seen.append(copied(unpack(output)))
    )
    with torch.inference_mode():
        model(x)
    handle.remove()
    value = seen[tap.call]
    while isinstance(value, list):
        value = value[0]
    return value.numpy()


def copied(output):
    if isinstance(output, torch.Tensor):
        return output.clone()
    return [copied(one) for one in output] if isinstance(output, tuple | list) else output


def last_steps(layout, hidden, lengths):
    """The last step of each window that is one, or its vector: row by row, by plain indexing."""
    rows = []
    hidden = np.moveaxis(hidden, layout.batch_axis, 0)
    hidden = hidden if layout.rows == 1 else hidden.reshape(len(lengths), layout.rows, *hidden.shape[1:])
    for row, length in zip(hidden, lengths, strict=True):
        steps = row[None] if layout.time_axis is None else np.moveaxis(row, layout.time_axis - 1, 0)
        place = -1 if layout.time_axis is None or layout.steps is None else length - 1 + min(layout.steps, 0)
        rows.append(steps[place].ravel())
    return np.array(rows)


def doubled(x):
    if isinstance(x, torch.Tensor):
        return x.double() if x.is_floating_point() else x
    if isinstance(x, dict):
        return {key: doubled(value) for key, value in x.items()}
    return [doubled(one) for one in x] if isinstance(x, list | tuple) else x


def greatest(difference):
    return float(np.abs(difference).max())


@settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES == FEW,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(made=models(), seed=st.integers(0, 2**31 - 1), data=st.data())
def test_any_model_of_any_dataset_embeds_as_a_plain_hook_sees_it(
    frame, windows_of, through_json, tmp_path_factory, made, seed, data
):
    arguments, kind, options = made
    longest = max(itertools.chain([0], *arguments["lags"].values()))
    steps = longest + arguments["max_encoder_length"] + arguments["max_prediction_length"] + 1
    size = {"steps": steps, "ids": arguments["group_ids"]}
    try:
        dataset = TimeSeriesDataSet(frame(seed, **size), **arguments)
    except ValueError as error:
        assert "NA or infinite" in str(error)  # noqa: PT017 - only such draws are thrown away
        reject()
    torch.manual_seed(seed)
    model = kind.from_dataset(dataset, **options).eval()
    folder = tmp_path_factory.mktemp("model")
    save(model, folder / "model.ckpt")
    tap = Tap(path=data.draw(st.sampled_from(TAPS[kind])))
    try:
        manifest = pack(folder / "model.ckpt", folder / "a", name="walk", taps={"hidden": Feature(tap=tap)}, trust=True)
    except Refused as refusal:
        assert any(named in str(refusal) for named in (tap.path, "the feature hidden", "the column "))  # noqa: PT017
        event(f"refused: {kind.__name__} {refusal}")
        reject()
    event(f"{kind.__name__} {tap}")

    fresh = TimeSeriesDataSet.from_parameters(dataset.get_parameters(), frame(seed + 1, first=5, **size))
    windows = through_json(windows_of(fresh, frame(seed + 1, first=5, **size), manifest.contract), manifest.contract)
    assert windows.rejects == ()
    x, _ = fresh._collate_fn([fresh[row] for row in range(len(fresh))])
    expected = last_steps(manifest.features[0].layout, plain(model, x, tap), x["encoder_lengths"].tolist())
    torch.set_default_dtype(torch.float64)
    try:
        hidden = plain(copy.deepcopy(model).double(), doubled(x), tap)
    finally:
        torch.set_default_dtype(torch.float32)
    exact = last_steps(manifest.features[0].layout, hidden, x["encoder_lengths"].tolist())
    # Random numbers make norms over few channels that are all but equal: what float32 leaves open there, nobody knows.
    allowed = 1e-6 * max(1.0, greatest(expected)) + 2 * greatest(expected - exact)
    event(f"float32 leaves open: {allowed:.0e}")
    embedder = load(folder / "a")
    order = np.random.default_rng(seed).permutation(len(expected))
    for rows in (np.arange(len(expected)), order, order[:1]):
        found = embedder.embed(windows.windows.take(rows))
        assert found.faults == ()
        assert greatest(found.embeddings.features["hidden"] - expected[rows]) <= allowed, (kind, tap)
