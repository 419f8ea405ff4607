"""Files, as the reference program names them."""

from pathlib import Path

MODEL_FOLDER, LOG_FOLDER = Path("model"), Path("log")


def checkpoint_path(epoch: int) -> Path:
    """Where the weights after that many epochs are kept.

    >>> checkpoint_path(200).as_posix()
    'model/model_param_200.pkl'
    """
    return MODEL_FOLDER / f"model_param_{epoch}.pkl"


def result_name(encoder: str, scale: float, input_name: str) -> str:
    """The file name of a result; the encoder as the user spelt it.

    >>> result_name("RDN", 3.2, "T1.nii.gz")
    'ArSSR_RDN_recon_3d2x_T1.nii.gz'
    """
    return f"ArSSR_{encoder}_recon_{str(float(scale)).replace('.', 'd')}x_{input_name}"
