"""Deployments of models over HTTP: plan one, start it, look at it, pause it, go back. `tegu deploy` is made of these."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from ..deploying.deployments import Deployments
from ..deploying.stages import Rules
from .parts import MayWrite, in_thread
from .problems import Problem

NO_SUCH: dict[str, Any] = {"description": "There is no such deployment"}
router = APIRouter(prefix="/registry/deployments", tags=["Deployments"])


class DeploymentAsked(BaseModel):
    """A model, and for whom."""

    model: Annotated[str, Field(pattern="^[a-z0-9-]{1,32}$")] = Field(examples=["presence"])
    where: Annotated[str, Field(max_length=10_000)] = Field("", examples=["room type = office, has CO2"])
    metric: Annotated[str, Field(max_length=200)] = Field("", examples=["loss_after <= 0.5"])
    samples: Annotated[int, Field(ge=1, le=1000)] = 1
    patience_s: Annotated[float, Field(gt=0, le=2_592_000)] = 600.0
    hold_s: Annotated[float, Field(ge=0, le=2_592_000)] = 0.0
    needed_percent: Annotated[float, Field(gt=0, le=100)] = 80.0
    plan_only: bool = Field(True, description="Only say who would get it in which stage, and who would not")


def _deployments(request: Request) -> Deployments:
    found: Deployments | None = request.app.state.deployments
    if found is None:
        raise Problem(501, "This service has no broker, and moves no devices")
    return found


Known = Annotated[Deployments, Depends(_deployments)]


@router.get("", summary="All deployments, the newest first")
async def listed(known: Known) -> list[dict[str, Any]]:
    """Each with its status, its stage, and its devices by what has become of them."""
    return await in_thread(known.summaries)


@router.post(
    "",
    summary="Plan a deployment, or start it",
    dependencies=[MayWrite],
    responses={400: {"description": "This cannot be deployed, and why"}},
)
async def proposed(asked: DeploymentAsked, known: Known) -> dict[str, Any]:
    """One device first, then a tenth, then all; on to the next stage only while the metric holds, else everybody goes back."""
    try:
        rules = Rules(asked.metric, asked.samples, asked.hold_s, asked.patience_s, asked.needed_percent)
        return await in_thread(lambda: known.propose(asked.model, asked.where, rules, not asked.plan_only))
    except ValueError as error:
        raise Problem(400, f"This cannot be deployed: {error}") from error


@router.get("/{number}", summary="How one stands", responses={404: NO_SUCH})
async def shown(number: int, known: Known) -> dict[str, Any]:
    """Its status and stage, why it went back if it did, the metric's means, and its devices with reasons."""
    try:
        return await in_thread(lambda: known.summary(number))
    except KeyError:
        raise Problem(404, f"There is no deployment {number}") from None


@router.post(
    "/{number}/{act}",
    summary="Pause, resume, abort or roll back",
    dependencies=[MayWrite],
    responses={404: NO_SUCH, 409: {"description": "Not as it stands now"}},
)
async def acted(number: int, act: str, known: Known) -> dict[str, Any]:
    """Pause and resume; abort leaves every device as it is; rollback gives each its earlier model again."""
    try:
        return await in_thread(lambda: known.act(number, act))
    except KeyError:
        raise Problem(404, f"There is no deployment {number}") from None
    except ValueError as error:
        raise Problem(409, f"Not now: {error}") from error
